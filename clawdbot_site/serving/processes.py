"""The launcher's children: each in its own session, each dead with the launcher, each back when it crashes."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

from clawdbot_site.serving.orphans import die_with_parent

STEADY = 30.0  # a child that lived this many seconds starts again without a wait
LONGEST_WAIT = 10.0
LOG_LIMIT = 10 * 1024 * 1024  # bytes a log file may have when its child starts; then it begins anew


class Running(Protocol):
    """A started process; `subprocess.Popen` is one."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, sig: int) -> None: ...


class Child:
    """One process that should be running. `log` None: it writes where the launcher writes."""

    def __init__(
        self,
        name: str,
        command: Sequence[str] = (),
        *,
        log: Path | None = None,
        environment: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        stop_time: float = 5.0,
        drains: bool = False,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        """`before` is called before every start; `stop_time` seconds after SIGTERM it is killed. Those of a family that
        `drains` take their time together."""
        self.name = name
        self.stop_time = stop_time
        self.drains = drains
        self._command = list(command)
        self._log = log
        self._environment = {**os.environ, **(environment or {})}
        self._pass_fds = tuple(pass_fds)
        self._before = before
        self._process: Running | None = None
        self._began = 0.0
        self._crashes = 0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def exit_code(self) -> int | None:
        """None while it runs; also before the first start."""
        return self._process.poll() if self._process else None

    def start(self) -> None:
        self._before()
        self._began = time.monotonic()
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(_open(self._log)) if self._log else None
            self._process = self._spawn(output)

    def _spawn(self, output: IO[bytes] | None) -> Running:
        return subprocess.Popen(  # noqa: S603  # our own programs, no shell
            self._command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            pass_fds=self._pass_fds,
            start_new_session=True,  # a terminal's Ctrl-C reaches the launcher alone, which stops them in order
            preexec_fn=functools.partial(die_with_parent, os.getpid()),  # noqa: PLW1509  # one thread here
        )

    def wait_before_restart(self) -> float:
        """Seconds to wait after this crash: none for the first, then doubling."""
        lived = time.monotonic() - self._began
        self._crashes = 0 if lived > STEADY else self._crashes + 1
        return 0.0 if self._crashes <= 1 else min(0.25 * 2 ** (self._crashes - 1), LONGEST_WAIT)

    def ask_to_stop(self, number: int = signal.SIGTERM) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """Also whatever it started: the whole session."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def wait(self, seconds: float) -> bool:
        """True: it has ended."""
        if self._process is None:
            return True
        try:
            self._process.wait(timeout=max(0.0, seconds))
        except subprocess.TimeoutExpired:
            return False
        return True


def _open(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = not path.exists() or path.stat().st_size > LOG_LIMIT
    return path.open("wb" if fresh else "ab")


class Family:
    """All children, in the order of their start; they stop in the opposite order, those that drain begin it at once."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._children: list[Child] = []
        self._due: dict[Child, float] = {}

    def start(self, child: Child) -> None:
        self._children.append(child)
        child.start()

    def tend(self) -> None:
        """Starts crashed children again when their wait is over. Call it a few times a second."""
        now = time.monotonic()
        for child in self._children:
            if child in self._due:
                if now >= self._due[child]:
                    del self._due[child]
                    child.start()
            elif child.exit_code is not None:
                wait = child.wait_before_restart()
                self._due[child] = now + wait
                soon = f"in {wait:.1f} s" if wait else "now"
                self._say(f"The {child.name} ended (exit code {child.exit_code}); it starts again {soon}.")

    def stop(self, *, with_signal: int = signal.SIGTERM) -> None:
        """One after the other, last started first; an exception on the way (a second Ctrl-C) kills the rest. Those that
        drain are sent `with_signal`, before anybody is waited for: whoever asks them is to know at once."""
        self._due.clear()
        asked: set[Child] = set()
        try:
            while self._children:
                child = self._children[-1]
                for each in self._children:
                    if each not in asked and (each is child or each.drains):
                        asked.add(each)
                        each.ask_to_stop(with_signal if each.drains else signal.SIGTERM)
                if not child.wait(child.stop_time):
                    self._say(f"The {child.name} does not stop; it is killed.")
                child.kill()
                child.wait(5.0)
                self._children.pop()
        finally:
            for child in reversed(self._children):
                child.kill()
            for child in self._children:
                child.wait(5.0)
            self._children.clear()
