"""`manage.py backup [--to FOLDER|storage] [--keep N] [--with-keys]`: SQL, sessions and objects in one file, while
everything runs. Exit 0; 1: it could not be made, or a tenant's sessions are not in it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from clawdbot_site.backup import making


class Command(BaseCommand):
    help = "Makes a backup: SQL, sessions and objects in one file. The keys that open it are not inside."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--to", default=settings.BACKUP_TO, help="a folder, or `storage`: object storage")
        parser.add_argument("--keep", type=int, default=0, help="how many of the backups there stay; 0: all")
        parser.add_argument("--with-keys", action="store_true", help="put master key and signing key inside as well")

    def handle(self, *, to: str, keep: int, with_keys: bool, **_: Any) -> None:
        if keep < 0:
            raise CommandError("--keep is a number of backups, 0 for all")
        try:
            made = making.make(to, keys=with_keys, keep=keep)
        except making.FAILURES as error:
            raise CommandError(f"no backup was made: {error}") from None
        self.stdout.write(f"{made.name}: {made.size} bytes, {made.sessions} live sessions, {made.objects} objects")
        if with_keys:
            self.stdout.write(
                "THE MASTER KEY AND THE SIGNING KEY ARE INSIDE: whoever has this file can read everything."
            )
        else:
            self.stdout.write(
                "The master key and the signing key are NOT inside. Without the master key nothing in it can be read: "
                "keep both apart from it."
            )
        if made.away:
            raise CommandError(f"the stores of {', '.join(made.away)} were away: only their journal is in the backup")
