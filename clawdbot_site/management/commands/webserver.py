"""`manage.py webserver`: the production web server, WORKERS processes on HOST:PORT."""

import os
import socket
from typing import Any

from django.conf import settings
from django.core.checks import run_checks
from django.core.management.base import BaseCommand, CommandError, CommandParser

from access.metrics.machine import kept
from clawdbot_site import checks
from clawdbot_site.asgi import create
from clawdbot_site.serving import listening, webserver
from clawdbot_site.serving.limits import Limits
from clawdbot_site.serving.server import CannotListen, Drain

FILES_OF_A_TURN = 4  # its call to a model, and what stores and plugins open for it


class Command(BaseCommand):
    help = "Serves the application; SIGTERM drains, SIGHUP replaces the workers one by one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--fd", type=int, help="an inherited socket that is bound already")
        parser.add_argument("--ready-fd", type=int, help="gets one byte when all workers are ready")

    def handle(self, *args: Any, **options: Any) -> None:
        for problem in run_checks(tags=[checks.STORES], include_deployment_checks=True):
            if problem.is_serious():
                raise CommandError(problem.msg)
            self.stderr.write(problem.msg)
        listener = self._listener(options["fd"])
        try:
            with kept(settings.VAR_DIR / "metrics"):
                webserver.serve(
                    create,
                    listener,
                    workers=settings.WORKERS,
                    limits=Limits(connections=settings.CONNECTIONS, event_silence=settings.STREAM_KEEPALIVE),
                    drain=Drain(delay=settings.DRAIN_DELAY, timeout=settings.DRAIN_TIMEOUT),
                    others=FILES_OF_A_TURN * settings.MAX_TURNS,
                    all_ready=lambda: self._ready(options["ready_fd"]),
                )
        except CannotListen:
            raise CommandError(
                f"Port {settings.PORT} on {settings.HOST} was taken by another program meanwhile. "
                "Stop it or choose another: PORT=…"
            ) from None

    def _listener(self, inherited: int | None) -> socket.socket:
        if inherited is not None:
            return socket.socket(fileno=inherited)
        try:
            return listening.bind(settings.HOST, settings.PORT)
        except listening.AddressTaken as reason:
            raise CommandError(str(reason)) from None

    def _ready(self, descriptor: int | None) -> None:
        if descriptor is None:
            self.stdout.write(f"Serving {listening.base_url(settings.HOST, settings.PORT)}")
            self.stdout.flush()
        else:
            os.write(descriptor, b"r")
