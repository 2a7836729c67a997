"""Keeps the web server's and the gRPC server's workers alive: one process each, forked from a parent that has the
application imported already.

The parent binds nothing, serves nothing and starts no thread, so forking is safe and a crashed worker is back within a
fraction of a second. All web workers accept from one shared socket: a connection waiting when one dies is another's.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import time
from collections.abc import Callable
from types import TracebackType

from clawdbot_site.serving.orphans import die_with_parent
from clawdbot_site.serving.server import REPLACED, CannotListen

log = logging.getLogger("clawdbot.supervisor")

SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}
CANNOT_LISTEN = 98  # a worker's exit code: another one would fare no better
LONGEST_WAIT = 8.0  # seconds between two tries to start a worker that does not get ready
Run = Callable[[Callable[[], None]], None]


class Worker:
    """A forked process. `ready` turns true when it has called `started`."""

    def __init__(self, run: Run) -> None:
        self.began = time.monotonic()
        self.ready = False
        self.alive = True
        self.exit_code = 0
        parent = os.getpid()
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._reader)
            _be_worker(run, writer, parent)
        os.close(writer)

    def look(self) -> None:
        """Brings `ready` and `alive` up to date."""
        if not self.ready:
            with contextlib.suppress(BlockingIOError):
                self.ready = os.read(self._reader, 1) == b"r"
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid == self.pid:
            self.exit_code = os.waitstatus_to_exitcode(status)
            self.alive = False
            os.close(self._reader)

    def send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)


def _be_worker(run: Run, writer: int, parent: int) -> None:
    """The child's whole life; never returns into the parent's code."""
    code = 1
    try:
        die_with_parent(parent)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C reaches all; only the supervisor answers
        run(lambda: _tell(writer))
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except CannotListen:
        code = CANNOT_LISTEN
    except BaseException:  # noqa: BLE001  # a border: whatever ended the worker is logged, then the process ends
        log.exception("the worker failed")
    finally:
        logging.shutdown()
        os._exit(code)


def _tell(writer: int) -> None:
    os.write(writer, b"r")


class Supervisor:
    """Runs `run(started)` in `count` processes until SIGTERM or SIGINT, which its workers are sent too; SIGHUP replaces
    them one by one."""

    def __init__(
        self,
        run: Run,
        count: int,
        *,
        stop_time: float,
        name: str = "web worker",
        all_ready: Callable[[], None] = lambda: None,
        stopping: Callable[[], None] = lambda: None,
    ) -> None:
        """`name`: what the log calls one. `stop_time`: seconds a worker gets to end after SIGTERM before it is killed.
        `all_ready` is called once; `stopping` when the end begins (to close this process's copy of the listening
        socket)."""
        self._run = run
        self._count = count
        self._stop_time = stop_time
        self._name = name
        self._all_ready: Callable[[], None] | None = all_ready
        self._stopping = stopping
        self._workers: list[Worker] = []
        self._retiring: dict[Worker, float] = {}
        self._rolling: list[Worker] = []
        self._failures = 0
        self._next_start = 0.0

    def __enter__(self) -> Supervisor:
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def serve(self) -> None:
        """Raises CannotListen: nobody ever could."""
        gc.collect()
        gc.freeze()  # the workers' collector leaves the shared pages alone
        with self:
            while True:
                self._tend()
                number = self._wait()
                if number in (signal.SIGTERM, signal.SIGINT):
                    break
                if number == signal.SIGHUP:
                    self._rolling = list(self._workers)
            self._stop(number)

    def _wait(self) -> int | None:
        settled = len(self._workers) == self._count and all(worker.ready for worker in self._workers)
        info = signal.sigtimedwait(SIGNALS, 1.0 if settled and not self._rolling else 0.05)
        return info.si_signo if info else None

    def _tend(self) -> None:
        now = time.monotonic()
        for worker in list(self._workers):
            worker.look()
            if not worker.alive:
                self._bury(worker, now)
        for worker, deadline in list(self._retiring.items()):
            worker.look()
            if not worker.alive:
                del self._retiring[worker]
            elif now > deadline:
                worker.send(signal.SIGKILL)
        self._roll(now)
        wanted = self._count + (1 if self._rolling else 0)
        while len(self._workers) < wanted and now >= self._next_start:
            self._workers.append(Worker(self._run))
        if self._all_ready and len(self._workers) == self._count and all(worker.ready for worker in self._workers):
            self._all_ready()
            self._all_ready = None

    def _bury(self, worker: Worker, now: float) -> None:
        self._workers.remove(worker)
        if worker in self._rolling:
            self._rolling.remove(worker)
        if worker.exit_code == CANNOT_LISTEN and self._all_ready:
            self._stop(signal.SIGTERM)
            raise CannotListen
        self._failures = 0 if worker.ready else self._failures + 1
        wait = min(0.5 * 2 ** (self._failures - 1), LONGEST_WAIT) if self._failures else 0.0
        self._next_start = now + wait
        log.error("%s %d ended unexpectedly; the next one starts in %.1f s", self._name, worker.pid, wait)

    def _roll(self, now: float) -> None:
        """Retires one old worker as soon as one more than needed is ready."""
        if self._rolling and sum(worker.ready for worker in self._workers) > self._count:
            old = self._rolling.pop(0)
            self._workers.remove(old)
            self._retire(old, now, REPLACED if old.ready else signal.SIGTERM)

    def _retire(self, worker: Worker, now: float, number: int) -> None:
        worker.send(number)
        self._retiring[worker] = now + self._stop_time

    def _stop(self, number: int) -> None:
        self._stopping()
        now = time.monotonic()
        while self._workers:
            worker = self._workers.pop()
            self._retire(worker, now, number if worker.ready else signal.SIGTERM)
        for worker in self._retiring:  # those that were being replaced: nobody takes connections in their place now
            worker.send(signal.SIGTERM)
        while self._retiring:
            self._rolling.clear()
            for worker, deadline in list(self._retiring.items()):
                worker.look()
                if not worker.alive:
                    del self._retiring[worker]
                elif time.monotonic() > deadline:
                    worker.send(signal.SIGKILL)
            info = signal.sigtimedwait(SIGNALS, 0.1)
            if info and info.si_signo == signal.SIGINT:  # asked twice: at once
                for worker in self._retiring:
                    worker.send(signal.SIGKILL)
