"""`make run`: everything a fresh machine needs, as children of one process that stops them all."""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Final

from django.conf import settings
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.management import CommandError, call_command
from django.db import connections

from access.metrics import processes
from access.metrics.machine import kept
from access.metrics.processes import Process
from clawdbot_site import checks
from clawdbot_site.serving import bootstrap, listening, localmodel, lock, models, valkey
from clawdbot_site.serving.forking import ForkedChild
from clawdbot_site.serving.processes import Child, Family
from clawdbot_site.serving.server import Drain
from clawdbot_site.serving.telling import Occasional
from clawdbot_site.serving.webserver import stop_time
from tenants import actors
from tenants.actors import Actor

READY_TIME = 120.0  # seconds the servers get for their first start
# What the children run. Imported in the launcher only when it is about to fork: what it has to refuse it says sooner.
PRELOADED: Final = ("clawdbot_site.wiring", "clawdbot_site.urls", "clawdbot_site.celery", "clawdbot_site.tasks",
                    "celery.bin.celery", "celery.apps.worker", "celery.concurrency.thread")  # fmt: skip
LOGS: Final = {"schedule": "beat"}
Say = Callable[[str], None]


class CannotStart(Exception):
    """Its text is one clear line."""


class Stop(BaseException):
    """SIGINT, SIGTERM or SIGHUP reached the launcher; like KeyboardInterrupt, nothing catches it on the way."""


class Signals:
    """SIGINT, SIGTERM and SIGHUP raise Stop wherever the launcher is. Python swallows what is raised in a finaliser, so
    `check` raises it once more."""

    def __init__(self) -> None:
        self._came = False

    def __enter__(self) -> Signals:
        self._before = {
            number: signal.signal(number, self._hear) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self._came = True
        raise Stop

    def check(self) -> None:
        if self._came:
            raise Stop


def up(say: Say) -> None:
    """Runs the product until Ctrl-C or SIGTERM. Raises CannotStart with a line for the person at the terminal."""
    os.umask(0o077)  # keys, journal and logs are for their owner
    try:
        with ExitStack() as stack:
            signals = stack.enter_context(Signals())
            held = stack.enter_context(lock.hold(settings.VAR_DIR))
            stack.enter_context(kept(settings.VAR_DIR / "metrics"))
            listener = stack.enter_context(listening.bind(settings.HOST, settings.PORT))
            private = (held.fileno(), listener.fileno())
            Launcher(say, signals.check, _grpc_port(), private).run(listener.fileno(), listener.close)
    except (lock.FolderInUse, listening.AddressTaken, valkey.ValkeyMissing) as reason:
        raise CannotStart(str(reason)) from None
    except Stop:
        say("Stopped.")


def _grpc_port() -> int:
    """The port of the gRPC server, 0: none. Only one that is asked for must be that one. Raises AddressTaken, and
    CannotStart for the web server's, which is bound but does not listen yet: no probe would notice."""
    number = listening.grpc_port(settings.GRPC_PORT, settings.PORT)
    if number == 0:
        return 0
    if number == settings.PORT:
        raise CannotStart(f"PORT and GRPC_PORT are both {number}. Choose another: GRPC_PORT=… make run")
    try:
        listening.probe(settings.GRPC_HOST, number, "GRPC_PORT")
    except listening.AddressTaken:
        if settings.GRPC_PORT is not None:
            raise
        return listening.free_port(settings.GRPC_HOST)
    return number


class Launcher:
    def __init__(self, say: Say, check: Callable[[], None], grpc_port: int = 0, private: Sequence[int] = ()) -> None:
        """`check` is called between the steps; it raises Stop when it is time to. `grpc_port` 0: no gRPC server.
        `private` are descriptors that no child is to have unless it is given them."""
        self._grpc_port = grpc_port
        self._private = private
        self._say = say
        self._check = check
        self._logs: Path = settings.VAR_DIR / "log"
        self._family = Family(say)
        self._programs: dict[str, Child] = {}  # by what metrics call them
        self._told = Occasional("launcher", self._processes)

    def run(self, listener: int, close_listener: Callable[[], None]) -> None:
        try:
            self._refuse_unfit_settings()
            self._start_valkey()
            self._migrate()
            self._ensure_model(self._start_model())
            made = bootstrap.seed(listening.target(settings.GRPC_HOST, self._grpc_port) if self._grpc_port else "")
            self._check()
            preload()
            self._start_servers(listener)
            self._start_background()
            bootstrap.announce(made, self._say)
            while True:
                self._check()
                time.sleep(0.2)
                self._family.tend()
                self._told.tell()
        except Stop:
            self._say("Stopping; answers already begun are finished first (Ctrl-C again: at once).")
            raise
        finally:
            close_listener()
            self._family.stop()
            self._told.tell(ended=True)

    def _processes(self) -> list[Process]:
        """The programs among the children: they are not ours, and tell nothing of themselves."""
        found = [(name, child.pid) for name, child in self._programs.items() if child.exit_code is None]
        told = [processes.of(pid, f"{name}-0", name) for name, pid in found if pid is not None]
        return [each for each in told if each is not None]

    def _refuse_unfit_settings(self) -> None:
        urls = {"BROKER_URL": settings.BROKER_URL, "CHANNEL_URL": settings.CHANNEL_URL, "CACHE_URL": settings.CACHE_URL}
        stores = checks.store_problems({name: url for name, url in urls.items() if not _embedded(url)})
        for problem in [*checks.unsafe_settings(), *stores]:
            if problem.is_serious():
                raise CannotStart(problem.msg)
            self._say(problem.msg)

    def _start_valkey(self) -> None:
        if settings.REDIS_HOST:
            self._say("Sessions live in REDIS_HOST; the embedded Valkey is not started.")
            return
        child = valkey.child(
            folder=settings.VAR_DIR / "valkey",
            socket=settings.VALKEY_SOCKET,
            databases=settings.VALKEY_DATABASES,
            log=self._logs / "valkey.log",
        )
        self._family.start(child)
        self._programs["valkey"] = child
        valkey.wait_until_ready(settings.VALKEY_SOCKET, lambda: child.exit_code is not None)
        self._say("Valkey is up (embedded, unix socket).")

    def _start_model(self) -> int | None:
        """Starts loading; the port, or None when no local model runs."""
        if not models.local_model_wanted():
            return None
        reason = localmodel.missing()
        if reason:
            self._say(f"No local model: {reason}. The echo adapter answers instead; set MODEL_ENDPOINT for a real one.")
            return None
        port = localmodel.free_port()
        command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "localmodel", "--port", str(port)]
        child = Child("local model", command, log=self._logs / "localmodel.log", stop_time=2.0)
        self._family.start(child)
        self._programs["model"] = child
        self._say(f"Loading the local model ({localmodel.MODEL_NAME}) …")
        return port

    def _ensure_model(self, local_port: int | None) -> None:
        try:
            models.ensure(local_port)
        except ValidationError as refused:
            raise CannotStart(f"MODEL_ENDPOINT cannot be used: {' '.join(refused.messages)}") from None

    def _migrate(self) -> None:
        self._say("Preparing the databases …")
        (settings.VAR_DIR / "journal").mkdir(parents=True, exist_ok=True)
        for alias in settings.DATABASES:
            call_command("migrate", database=alias, interactive=False, verbosity=0)
        for problem in checks.second_wall():
            self._say(problem.msg)

    def _start_servers(self, listener: int) -> None:
        self._say("Starting the web server …" if not self._grpc_port else "Starting the web and gRPC servers …")
        serving = [self._start_server("web server", "webserver", listener, fd=listener)]
        if self._grpc_port:
            serving.append(self._start_server("gRPC server", "grpcserver", port=self._grpc_port))
        deadline = time.monotonic() + READY_TIME
        for server, reader in serving:
            while not select.select([reader], [], [], 0.1)[0]:
                self._check()
                if server.exit_code is not None:
                    reason = f"(exit code {server.exit_code}); the reason is above."
                    raise CannotStart(f"The {server.name} does not start {reason}")
                if time.monotonic() > deadline:
                    raise CannotStart(f"The {server.name} was not ready within {READY_TIME:.0f} s.")

    def _start_server(self, name: str, command: str, *inherited: int, **options: int) -> tuple[Child, int]:
        """It, and where it says that it is ready."""
        reader, writer = os.pipe()  # both stay open: a restarted child writes into it again
        drain = Drain(delay=settings.DRAIN_DELAY, timeout=settings.DRAIN_TIMEOUT)
        child = ForkedChild(
            name,
            partial(_manage, command, ready_fd=writer, **options),
            private=self._private,
            pass_fds=(*inherited, writer),
            stop_time=stop_time(drain) + 5.0,
            drains=True,
        )
        self._family.start(child)
        return child, reader

    def _start_background(self) -> None:
        schedule = settings.VAR_DIR / "celery"
        schedule.mkdir(parents=True, exist_ok=True)
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        worker = ["worker", "--pool", "threads", "--loglevel", "INFO", *quiet]
        self._start_behind("worker", _celery(*worker, "--queues", "celery", "--concurrency", "2"), stop_time=10.0)
        replays = _celery(*worker, "--queues", "replays", "--concurrency", "1", "--hostname", "replays@%h")
        self._start_behind("replays", replays, stop_time=10.0)
        beat = _celery("beat", "--schedule", str(schedule / "beat"), "--pidfile", "", "--loglevel", "INFO")
        self._start_behind("schedule", beat)
        self._start_behind("sequencer", partial(_manage, "sequencer"))
        self._start_behind("publisher", partial(_manage, "publisher"), stop_time=15.0)

    def _start_behind(self, name: str, run: Callable[[], int], stop_time: float = 5.0) -> None:
        log = self._logs / f"{LOGS.get(name, name)}.log"
        self._family.start(ForkedChild(name, run, private=self._private, log=log, stop_time=stop_time))


def _embedded(url: str) -> bool:
    return str(settings.VALKEY_SOCKET) in url


def preload() -> None:
    """Imports here, once, what the children would each import; then makes it safe to fork: no connection is open, no
    thread runs, and the collector leaves what is shared alone."""
    for module in PRELOADED:
        import_module(module)
    connections.close_all()
    caches.close_all()
    gc.collect()
    gc.freeze()


def _manage(command: str, **options: int) -> int:
    """`manage.py command`, in this process."""
    actors.become(Actor(f"command:{command}", actors.account()))
    try:
        call_command(command, skip_checks=False, **options)
    except CommandError as error:
        sys.stderr.write(f"CommandError: {error}\n")
        return error.returncode
    except ImproperlyConfigured as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _celery(*arguments: str) -> Callable[[], int]:
    """`celery -A clawdbot_site …`, in this process."""

    def run() -> int:
        actors.become(None)
        celery = import_module("clawdbot_site.celery")
        try:
            return int(celery.app.start(list(arguments)) or 0)
        finally:
            celery.leave()

    return run
