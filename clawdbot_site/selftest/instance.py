"""The whole product in a temporary folder on a free port, whatever the settings of this process are."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from clawdbot_site.selftest.ports import free_port
from clawdbot_site.serving.orphans import die_with_parent

ROOT: Final = Path(__file__).resolve().parents[2]
START_TIME: Final = 180.0
UP: Final = "Ctrl-C stops everything."
KEPT: Final = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV")


class Instance:
    """`settings` are the only ones beside the folder and the port. `root` is where its code
    is."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.root = ROOT
        self.log = folder.parent / f"{folder.name}.log"
        self.port = free_port()
        self.environment = {
            **{name: os.environ[name] for name in KEPT if name in os.environ},
            "PYTHONUNBUFFERED": "1",
            "DJANGO_SETTINGS_MODULE": "clawdbot_site.settings",
            "ENV_FILE": "",
            "VAR_DIR": str(folder),
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "DRAIN_DELAY": "0",
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Raises RuntimeError."""
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603  # our own program
                [sys.executable, "manage.py", "up"],
                cwd=self.root,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # A job that starts one may be killed; the instance would go on for ever.
                preexec_fn=functools.partial(die_with_parent, os.getpid()),  # noqa: PLW1509  # no locks in there
            )
        until = time.monotonic() + START_TIME
        while UP not in self.log.read_text(errors="replace"):
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the instance does not start:\n{self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(90)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, 9)
                self._process.wait(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def key(self) -> str:
        return str(json.loads((self.folder / "bootstrap.json").read_text())["api_key"])

    @property
    def pid(self) -> int:
        """The launcher's."""
        assert self._process is not None
        return self._process.pid

    def workers(self) -> list[int]:
        return [worker for child in children(self.pid) if name(child) == "web server" for worker in children(child)]

    def manage(self, *arguments: str, timeout: float = 3600.0) -> subprocess.CompletedProcess[str]:
        """A command with the instance's settings."""
        return subprocess.run(  # noqa: S603  # our own program
            [sys.executable, "manage.py", *arguments],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def name(pid: int) -> str:
    """What the launcher called it, at most 15 characters."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
