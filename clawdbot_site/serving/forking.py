"""Children that are forks of the launcher, with what it has imported."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import IO, Any, Final, NoReturn

from clawdbot_site.serving.orphans import call_me, die_with_parent
from clawdbot_site.serving.processes import Child, Running

log = logging.getLogger("clawdbot.process")

STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ForkedChild(Child):
    """A child that has what the launcher has imported: it starts in milliseconds where a program takes seconds of CPU
    to import the same again, and shares that memory.

    `run` gives its exit code. The launcher must run one thread, hold no connection, and name the descriptors that are
    its own alone (`private`)."""

    def __init__(self, name: str, run: Callable[[], int], *, private: Sequence[int] = (), **options: Any) -> None:
        super().__init__(name, **options)
        self._run = run
        self._private = tuple(private)

    def _spawn(self, output: IO[bytes] | None) -> Running:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        parent = os.getpid()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        try:
            pid = os.fork()
            if pid == 0:
                self._be(parent, output.fileno() if output else None, before)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return Forked(pid)

    def _be(self, parent: int, output: int | None, mask: set[int | signal.Signals]) -> NoReturn:
        """The child's whole life: nothing of the launcher's own goes on in it."""
        code = 1
        try:
            for number in STOPPING:
                signal.signal(number, signal.SIG_DFL)
            os.setsid()
            call_me(self.name)
            die_with_parent(parent)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            nothing = os.open(os.devnull, os.O_RDONLY)
            os.dup2(nothing, 0)
            os.close(nothing)
            if output is not None:
                os.dup2(output, 1)
                os.dup2(output, 2)
            for descriptor in set(self._private) - set(self._pass_fds):
                os.close(descriptor)
            code = _exit_code(self._run)
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)


def _exit_code(run: Callable[[], int]) -> int:
    """What a Python program that runs this would exit with, and says what it would say."""
    try:
        return run()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        sys.stderr.write(f"{end.code}\n")
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BaseException:  # noqa: BLE001  # where a program would end with its trace
        log.critical("the process ends", exc_info=True)
    return 1


class Forked:
    """A forked process, as `subprocess.Popen` would show it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            time.sleep(0.01)
        return code

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)
