"""`manage.py audit balance`: has every intent of the journal its end? Exit 0 it holds, 1 broken, 2 could not run.
`manage.py audit grant`: who may write it."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import msgspec
from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import DatabaseError

from compliance.journal.balance import Balance, balance
from compliance.journal.granting import NotPostgres, grant_writer
from compliance.journal.replaying import Spools
from compliance.journal.slots import NoSlot


class Command(BaseCommand):
    help = "Checks the audit journal. Exit 0: it holds, 1: it is broken, 2: it could not be checked."

    def add_arguments(self, parser: ArgumentParser) -> None:
        checks = parser.add_subparsers(dest="check", required=True)
        counting = checks.add_parser("balance", help="Every intent has one end, or its turn still runs.")
        counting.add_argument("--tenant", type=int, default=None, metavar="ID", help="Only this tenant's entries.")

        granting = checks.add_parser("grant", help="Lets a role of PostgreSQL write the journal, and no more.")
        granting.add_argument("--role", required=True, metavar="NAME", help="The role of JOURNAL_WRITER_URL.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["check"] == "grant":
            self._grant(options["role"])
        else:
            self._balance(options)

    def _grant(self, role: str) -> None:
        try:
            grant_writer(role)
        except (DatabaseError, NotPostgres) as error:
            self.stderr.write(f"nothing was granted: {error}")
            sys.exit(2)
        self.stdout.write(f"{role} may add entries to the journal, and neither change nor read them")

    def _balance(self, options: dict[str, Any]) -> None:
        try:
            counted = balance(options["tenant"])
        except (DatabaseError, NoSlot, OSError) as error:
            self.stderr.write(f"the journal could not be read: {error}")
            sys.exit(2)
        self.stdout.write(report(counted))
        if settings.JOURNAL_SPOOL:
            waiting = Spools(Path(settings.JOURNAL_SPOOL)).waiting()
            self.stdout.write(f"{waiting} bytes of entries wait in the spool of this machine")
        if not counted.holds:
            sys.exit(1)


def report(counted: Balance) -> str:
    """The figures one a line and the verdict last."""
    lines = [f"{name.replace('_', ' '):10}{value:>12}" for name, value in msgspec.structs.asdict(counted).items()]
    return "\n".join([*lines, "the balance holds" if counted.holds else "THE BALANCE DOES NOT HOLD"])
