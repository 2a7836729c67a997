"""`manage.py audit balance`: has every intent of the journal its end? Exit 0 it holds, 1 broken, 2 could not run."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

import msgspec
from django.core.management.base import BaseCommand
from django.db import DatabaseError

from compliance.journal.balance import Balance, balance
from compliance.journal.slots import NoSlot


class Command(BaseCommand):
    help = "Checks the audit journal. Exit 0: it holds, 1: it is broken, 2: it could not be checked."

    def add_arguments(self, parser: ArgumentParser) -> None:
        checks = parser.add_subparsers(dest="check", required=True)
        counting = checks.add_parser("balance", help="Every intent has one end, or its turn still runs.")
        counting.add_argument("--tenant", type=int, default=None, metavar="ID", help="Only this tenant's entries.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            counted = balance(options["tenant"])
        except (DatabaseError, NoSlot, OSError) as error:
            self.stderr.write(f"the journal could not be read: {error}")
            sys.exit(2)
        self.stdout.write(report(counted))
        if not counted.holds:
            sys.exit(1)


def report(counted: Balance) -> str:
    """The figures one a line and the verdict last."""
    lines = [f"{name.replace('_', ' '):10}{value:>12}" for name, value in msgspec.structs.asdict(counted).items()]
    return "\n".join([*lines, "the balance holds" if counted.holds else "THE BALANCE DOES NOT HOLD"])
