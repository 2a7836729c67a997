"""`manage.py grpcserver`: serves `clawdbot.v1.ChatService` on GRPC_HOST:GRPC_PORT."""

import os
from functools import partial
from typing import Any

from django.conf import settings
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from access.metrics.machine import kept
from clawdbot_site import checks
from clawdbot_site.asgi import create
from clawdbot_site.serving import grpcserver, listening
from clawdbot_site.serving.server import Drain


class Command(BaseCommand):
    help = "Serves the chat contract over gRPC; SIGTERM drains."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, help="in place of GRPC_PORT")
        parser.add_argument("--ready-fd", type=int, help="gets one byte when it serves")

    def handle(self, *args: Any, **options: Any) -> None:
        for problem in run_checks(tags=[checks.STORES], include_deployment_checks=True):
            if problem.is_serious():
                raise CommandError(problem.msg)
            self.stderr.write(problem.msg)
        number = options["port"]
        if number is None:
            number = listening.grpc_port(settings.GRPC_PORT, settings.PORT)
        if number == 0:
            raise CommandError("GRPC_PORT is 0: there is to be no gRPC server.")
        drain = Drain(delay=settings.DRAIN_DELAY, timeout=settings.DRAIN_TIMEOUT)
        try:
            ready = partial(self._ready, options["ready_fd"], number)
            with kept(settings.VAR_DIR / "metrics"):
                grpcserver.serve(partial(create, "grpc"), number, drain, ready, workers=settings.GRPC_WORKERS)
        except (listening.AddressTaken, ImproperlyConfigured) as reason:
            raise CommandError(str(reason)) from None

    def _ready(self, descriptor: int | None, number: int) -> None:
        if descriptor is None:
            self.stdout.write(f"Serving gRPC on {listening.target(settings.GRPC_HOST, number)}")
            self.stdout.flush()
        else:
            os.write(descriptor, b"r")
