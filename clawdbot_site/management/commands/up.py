"""`manage.py up` (`make run`): the whole product on one machine."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from clawdbot_site.serving import launcher


class Command(BaseCommand):
    help = "Starts everything: databases, the embedded Valkey, the local model, background work and the web server."

    requires_system_checks: list[str] = []  # a taken port is said first; the web server runs them all

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            launcher.up(self._say)
        except launcher.CannotStart as reason:
            raise CommandError(str(reason)) from None

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
