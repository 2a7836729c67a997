"""`manage.py rowsecurity`: the second wall between tenants, on PostgreSQL. Exit 0 it stands, 1 it does not."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DatabaseError, connections

from clawdbot_site import row_security


class Command(BaseCommand):
    help = "Sets PostgreSQL's policies right and says what is wrong with them. Exit 0: tenants are kept apart by it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="Change nothing.")

    def handle(self, *args: Any, check: bool, **options: Any) -> None:
        wrong = False
        for alias in ("default", "journal"):
            if connections[alias].vendor != "postgresql":
                self.stdout.write(f"{alias}: not on PostgreSQL, there is nothing to do.")
                continue
            try:
                changed = [] if check else row_security.apply(alias)
                problems = row_security.problems(alias)
            except DatabaseError as error:
                problems, changed = [f"It cannot be told: {error}"], []
            self.stdout.write(
                f"{alias}: {len(changed)} tables changed, {'in order' if not problems else 'NOT in order'}."
            )
            for problem in problems:
                self.stdout.write(f"  {problem}")
            wrong = wrong or bool(problems)
        if wrong:
            sys.exit(1)
