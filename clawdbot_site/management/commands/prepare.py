"""`manage.py prepare [--wait-only] [--seconds N]`: tables and model, or waiting until somebody else has made them.
Exit 0; 1 with one line."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from clawdbot_site.serving import preparing


class Command(BaseCommand):
    help = "Migrates every database and makes the model instance that the settings name; safe at every start."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--wait-only", action="store_true", help="only wait until that has been done")
        parser.add_argument("--seconds", type=float, default=300.0, help="how long to wait for the databases")

    def handle(self, *, wait_only: bool, seconds: float, **_: Any) -> None:
        try:
            if wait_only:
                preparing.wait_for_tables(seconds, self._say)
            else:
                preparing.wait_for_databases(seconds, self._say)
                preparing.prepare(self._say)
        except preparing.CannotPrepare as reason:
            raise CommandError(str(reason)) from None

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
