"""`manage.py firstaccess`: makes the administrator and a demo tenant with a key and prints them, this once, as JSON.
Exit 1 where there is an administrator."""

import json
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError

from clawdbot_site.serving import preparing


class Command(BaseCommand):
    help = "Makes the first administrator, a demo tenant and its key, and prints them: nothing else keeps them."

    def handle(self, *_: Any, **__: Any) -> None:
        try:
            made = preparing.first_access()
        except preparing.CannotPrepare as reason:
            raise CommandError(str(reason)) from None
        self.stdout.write(json.dumps(msgspec.to_builtins(made), indent=2))
