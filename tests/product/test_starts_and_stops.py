"""Starting again, being refused, Ctrl-C, SIGTERM, kill -9: what is left afterwards is data, never a process."""

import os
import shutil
import signal
import socket
import threading

import pytest

from tests.adapters.upstream import by_stream, events, streamed, whole
from tests.product.running import ROOT, Product, one_line, until
from tests.product.upstreams import upstream_in_thread

QUICK = {"LOCAL_MODEL": "off"}  # the echo adapter answers: what is tested here are processes


def left(product: Product) -> bool:
    return not product.processes()


def test_it_starts_again_with_everything_it_had_and_ends_with_ctrl_c(tmp_path):
    before = {file: file.stat().st_mtime_ns for file in (ROOT / ".venv").glob(".installed-*")}
    with Product(tmp_path / "var", fresh=True, **QUICK, DRAIN_DELAY="600") as product:  # which Ctrl-C does not wait for
        product.up()
        written = [product.folder, *(path for path in product.folder.rglob("*") if not path.is_symlink())]
        assert [path for path in written if path.stat().st_mode & 0o077] == []
        access = product.access
        session = product.ask("My name is Ada.").json()["session_id"]
        product.send(signal.SIGINT)
        assert product.wait() == 0
        assert product.processes() == []

        product.up("make", "run") if shutil.which("make") else product.up()
        assert product.access == access
        assert access["admin_password"] not in product.said()
        assert {file: file.stat().st_mtime_ns for file in (ROOT / ".venv").glob(".installed-*")} == before
        with product.http() as client:
            assert len(client.get(f"/api/sessions/{session}").json()["context_stack"]) == 2
        assert product.operate("value = [User.objects.count(), Tenant.objects.count()]") == [1, 1]
        assert product.operate("value = ModelInstance.objects.everywhere().count()") == 1
        product.send(signal.SIGINT)  # as a terminal does: to make, its shell and the launcher
        product.wait()
        until(lambda: left(product), "no process is left after Ctrl-C")


def test_it_says_in_one_line_why_it_does_not_start(tmp_path):
    with Product(tmp_path / "var", **QUICK).up() as product:
        again = Product(tmp_path / "var", **QUICK)
        again.log = tmp_path / "again.log"
        again.launch()
        assert again.wait(30) == 1
        complaint = one_line(again.said())
        assert str(product.folder) in complaint and str(product.process.pid) in complaint

        with Product(tmp_path / "other", **QUICK, PORT=str(product.port)) as other:
            other.launch()
            assert other.wait(30) == 1
            assert f"Port {product.port} on 127.0.0.1 is taken" in one_line(other.said())
            assert other.processes() == []

        assert product.ask().status_code == 200  # the first one noticed nothing
        os.kill(product.process.pid, signal.SIGKILL)
        product.wait()
        until(lambda: left(product), "no process is left after kill -9 of the launcher")
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", product.port))


@pytest.mark.parametrize(
    ("setting", "value"), [("WORKERS", "many"), ("MODEL_TIMEOUT", "soon"), ("REDIS_HOST", "http://x"), ("DEBUG", "oui")]
)
def test_it_names_a_setting_it_cannot_read(tmp_path, setting, value):
    with Product(tmp_path / "var", **QUICK, **{setting: value}) as product:
        product.launch()
        assert product.wait(30) == 1
        assert one_line(product.said()).startswith(f"{setting}: ")


def test_it_says_what_is_wrong_with_the_endpoint(tmp_path):
    with Product(tmp_path / "var", MODEL_ENDPOINT="nonsense") as product:
        product.launch()
        assert product.wait(60) == 1
        complaint = product.said().splitlines()[-1]
        assert complaint.startswith("CommandError: MODEL_ENDPOINT") and "'nonsense'" in complaint
        assert product.processes() == []


def test_it_stops_while_it_is_starting(tmp_path):
    with Product(tmp_path / "var") as product:
        product.launch()
        until(lambda: "Loading the local model" in product.said(), "the start is under way")
        product.send(signal.SIGINT)
        assert product.wait() == 0
        assert product.processes() == []


def test_it_finishes_streams_on_sigterm(tmp_path):
    with upstream_in_thread() as model:
        words = [f"word{number} " for number in range(30)]
        model.answers(whole("short"), streamed(events(*words), 0.1), choose=by_stream)
        settings = {"WORKERS": "2", "MODEL_ENDPOINT": model.url}
        with Product(tmp_path / "var", **settings).up() as product, product.http() as client:
            body = {"model": "auto", "stream": True, "messages": [{"role": "user", "content": "Go on."}]}
            with client.stream("POST", "/v1/chat/completions", json=body) as response:
                lines = response.iter_lines()
                first = next(line for line in lines if "word0" in line)
                product.send(signal.SIGTERM)
                received = [first, *lines]
            text = "\n".join(received)
            assert [word for word in words if word not in text] == []
            assert received[-2] == "data: [DONE]" or received[-1] == "data: [DONE]"
            assert product.wait() == 0
            assert product.processes() == []
            balance = product.manage("audit", "balance")
            assert (balance.returncode, balance.stderr) == (0, "")


def test_it_replaces_a_worker_that_dies(tmp_path):
    with Product(tmp_path / "var", **QUICK, WORKERS="2").up() as product:
        before = product.workers()
        assert len(before) == 2
        stop, answers = threading.Event(), []

        def ask() -> None:
            while not stop.is_set():
                try:
                    answers.append(product.ask().status_code)
                except OSError:
                    pass  # it was on the connection of the one that died

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            os.kill(before[0], signal.SIGKILL)
            until(lambda: len(set(product.workers()) - {before[0]}) == 2, "a new worker")
            with product.at_every_worker() as connections:
                assert len(connections) == 2
        finally:
            stop.set()
            asking.join()
        assert set(answers) == {200}

        web = product.child("web server")
        os.kill(web, signal.SIGKILL)  # the supervisor itself: the launcher brings it back
        until(lambda: f"The web server ended (exit code {-signal.SIGKILL}" in product.said(), "the launcher notices")
        until(lambda: product.child("web server") != web and len(product.workers()) == 2, "a new web server")
        assert set(product.workers()).isdisjoint(before)
        assert product.ask().status_code == 200
