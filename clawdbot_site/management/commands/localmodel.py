"""`manage.py localmodel`: serves the local model until it is stopped."""

import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from clawdbot_site.serving import localmodel


class Command(BaseCommand):
    help = "Serves SmolLM2-135M on loopback with the OpenAI wire format."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=0, help="0: a free one")
        parser.add_argument("--threads", type=int, default=localmodel.default_threads(os.cpu_count() or 1))

    def handle(self, *args: Any, **options: Any) -> None:
        reason = localmodel.missing()
        if reason:
            raise CommandError(f"The local model cannot run: {reason}.")
        localmodel.serve(port=options["port"], threads=options["threads"], up=self._up)

    def _up(self, address: str) -> None:
        self.stdout.write(f"{localmodel.MODEL_NAME} at {address}/v1")
        self.stdout.flush()
