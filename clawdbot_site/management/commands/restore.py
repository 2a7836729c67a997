"""`manage.py restore FILE [--force]`: a backup in the place of what is here, while nothing runs. Exit 0; 1: it failed,
and what is here is as it was unless it says otherwise."""

from __future__ import annotations

import sqlite3
from typing import Any

import psycopg
from django.core.exceptions import SuspiciousFileOperation
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error as DatabaseFailure

from clawdbot_site.backup.packing import Broken
from clawdbot_site.backup.restoring import restore
from clawdbot_site.serving.lock import FolderInUse
from compliance.journal.store import StoreAway
from engine.errors import EngineError

FAILURES = (OSError, sqlite3.Error, psycopg.Error, DatabaseFailure, EngineError, StoreAway, SuspiciousFileOperation)


class Command(BaseCommand):
    help = "Brings a backup back. Stop everything first; the master key it was made with must be in its place."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="a path, or storage:backups/…")
        parser.add_argument("--force", action="store_true", help="put it in the place of the data that are here")

    def handle(self, *, file: str, force: bool, **_: Any) -> None:
        try:
            told = restore(file, force=force, say=self.stdout.write)
        except (Broken, FolderInUse) as reason:
            raise CommandError(str(reason)) from None
        except FAILURES as error:
            raise CommandError(f"the backup is not restored, do it again: {error}") from None
        again = ", ".join(f"{name} {count}" for name, count in told.erased_again.items())
        self.stdout.write(
            f"restored with {told.sessions} live sessions and {told.objects} objects; erased again: {again}"
        )
        if told.away:
            raise CommandError(
                f"all is restored but the stores of {', '.join(told.away)}, which did not answer: empty them before "
                "these tenants are served from them, or do it again"
            )
