"""`manage.py migrate`: Django's own; on PostgreSQL it waits for no lock longer than MIGRATE_LOCK_TIMEOUT at a time."""

from typing import Any

from django.conf import settings
from django.core.management.commands import migrate
from django.db import connections

from clawdbot_site import migrating


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        connection = connections[options["database"]]
        if connection.vendor != "postgresql" or options["plan"] or options["check_unapplied"]:
            super().handle(*args, **options)
            return
        migrating.patiently(
            connection,
            lambda: migrate.Command.handle(self, *args, **options),
            lock_timeout=settings.MIGRATE_LOCK_TIMEOUT,
            patience=settings.MIGRATE_PATIENCE,
            say=self.stderr.write,
        )
