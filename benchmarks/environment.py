"""The product with everything on, in a temporary folder: databases, Valkey, mock upstream, web server, each pinned.

    with Environment() as running:
        running.port, running.keys["full"], running.worker   # where, as whom, whose CPU to count

`python -m benchmarks.environment` starts it, says how to reach it, and stops it at Ctrl-C."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from urllib.request import urlopen

from benchmarks.mock_upstream import CHUNKS
from benchmarks.processes import GATEWAY_CORE, LOAD_CORE, children, pin, wait_for_port
from clawdbot_site import databases
from clawdbot_site.selftest.ports import free_port
from clawdbot_site.serving import listening, valkey
from clawdbot_site.serving.processes import Child

ROOT = Path(__file__).resolve().parents[1]
READY_TIME = 120.0
CLEARED = ("REDIS_HOST", "REDIS_PASSWORD", "BROKER_URL", "CHANNEL_URL", "CACHE_URL", "DATABASE_URL", "JOURNAL_URL")


class Mock:
    """The upstream: a process of its own on the load's core."""

    def __init__(self) -> None:
        self.port = free_port()
        self.process = Child("mock", [sys.executable, "-m", "benchmarks.mock_upstream", str(self.port)])

    def start(self) -> None:
        self.process.start()
        assert self.process.pid is not None
        pin(self.process.pid, LOAD_CORE)
        wait_for_port(self.port)

    def count(self) -> int:
        """Completions asked for so far."""
        return self._ask("/count")

    def answer(self, *, delay: float = 0.0, pace: float = 0.0, pieces: int = CHUNKS) -> None:
        """From now on: after `delay` seconds, streams of so many pieces with `pace` seconds between them (0: all at
        once)."""
        self._ask(f"/set/{delay}/{pace}/{pieces}")

    def _ask(self, path: str) -> int:
        with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as response:  # noqa: S310
            return int(response.read())


class Environment:
    """One web worker. `variables` are further settings of the product; `rows` the module that fills its databases."""

    rows = "benchmarks.rows"
    program: Sequence[str] = (str(ROOT / "manage.py"), "webserver")

    def __init__(self, **variables: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="clawdbot-bench-"))
        self.port = free_port()
        self.keys: dict[str, str] = {}
        self.mock = Mock()
        self._variables = variables
        self._children = ExitStack()

    def __enter__(self) -> Environment:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        self.environment = environment = self._environment()
        self._start_valkey()
        self.keys = self.fill(environment)
        self._children.callback(_end, self.mock.process)
        self.mock.start()
        self._start_web(environment)

    def fill(self, environment: dict[str, str]) -> dict[str, str]:
        """Makes the databases and their rows; what to sign in with."""
        command = [sys.executable, "-m", self.rows, f"http://127.0.0.1:{self.mock.port}/v1"]
        filled = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True)
        found: dict[str, str] = json.loads(filled.stdout)
        return found

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name not in CLEARED}
        return {
            **inherited,
            "VAR_DIR": str(self.folder),
            "ENV_FILE": "",
            "DJANGO_SETTINGS_MODULE": "clawdbot_site.settings",
            "PYTHONPATH": str(ROOT),
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "WORKERS": "1",
            "LOG_LEVEL": "WARNING",
            **self._variables,
        }

    def _start_valkey(self) -> None:
        socket = databases.socket_path(self.folder)
        child = valkey.child(
            folder=self.folder / "valkey", socket=socket, databases=1024, log=self.folder / "log" / "valkey.log"
        )
        self._children.callback(_end, child)
        child.start()
        assert child.pid is not None
        pin(child.pid, LOAD_CORE)
        valkey.wait_until_ready(socket, lambda: child.exit_code is not None)

    def _start_web(self, environment: dict[str, str]) -> None:
        listener = self._children.enter_context(listening.bind("127.0.0.1", self.port))
        reader, writer = os.pipe()
        self.web = Child(
            "web server",
            [sys.executable, *self.program, "--fd", str(listener.fileno()), "--ready-fd", str(writer)],
            environment=environment,
            pass_fds=(listener.fileno(), writer),
        )
        self._children.callback(_end, self.web)
        self.web.start()
        assert self.web.pid is not None
        pin(self.web.pid, GATEWAY_CORE)
        deadline = time.monotonic() + READY_TIME
        while not select.select([reader], [], [], 0.1)[0]:
            if self.web.exit_code is not None or time.monotonic() > deadline:
                raise RuntimeError("the web server did not start; the reason is above")
        for descriptor in (reader, writer):
            os.close(descriptor)
        pin(self.web.pid, GATEWAY_CORE)

    @property
    def worker(self) -> int:
        """The process that serves."""
        assert self.web.pid is not None
        return children(self.web.pid)[0]

    @property
    def journal(self) -> Path:
        return self.folder / "journal" / "journal.sqlite3"

    def close(self) -> None:
        self._children.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _end(child: Child) -> None:
    child.ask_to_stop()
    if not child.wait(child.stop_time):
        child.kill()
        child.wait(5.0)


def main() -> None:
    with Environment() as running:
        print(f"http://127.0.0.1:{running.port} keys {running.keys} worker {running.worker} folder {running.folder}")
        try:
            while running.web.exit_code is None:
                time.sleep(1)
        except KeyboardInterrupt:
            print("stopping")


if __name__ == "__main__":
    main()
