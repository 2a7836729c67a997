"""The development server is daphne's. Its app is not installed: it would load Twisted into every process."""

from typing import Any

from daphne.management.commands.runserver import Command as DaphneCommand
from django.conf import settings
from django.core.management.base import CommandError

from clawdbot_site import checks


class Command(DaphneCommand):
    def run(self, **options: Any) -> None:
        """Raises CommandError where the address of the command line is not what HOST has promised."""
        if settings.DEBUG and not checks.loopback(self.addr):
            raise CommandError(checks.exposed(self.addr))
        super().run(**options)
