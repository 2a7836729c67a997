"""`manage.py audit …`: checks the journal or hands out what others check it with. Exit 0 holds, 1 broken, 2 not run."""

from __future__ import annotations

import sqlite3
import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Final

import msgspec
from django.conf import settings
from django.core.files.storage import default_storage
from django.core.management.base import BaseCommand
from django.db import DatabaseError

from compliance.journal.balance import Balance, balance
from compliance.journal.granting import NotPostgres, grant_writer
from compliance.journal.replaying import Spools
from compliance.journal.signing import platform_signer
from compliance.journal.slots import NoSlot
from compliance.tree import bundling, exporting, verifier, verifying
from compliance.tree.database import tree_database
from compliance.tree.notes import Keys, Unreadable, read_keys

CANNOT_RUN: Final = 2
SHOWN: Final = 50
AWAY: Final = (DatabaseError, sqlite3.Error, NoSlot, OSError)


class Command(BaseCommand):
    help = "Checks the audit journal. Exit 0: it holds, 1: it is broken, 2: it could not be checked."

    def add_arguments(self, parser: ArgumentParser) -> None:
        checks = parser.add_subparsers(dest="check", required=True)
        counting = checks.add_parser("balance", help="Every intent has one end, or its turn still runs.")
        counting.add_argument("--tenant", type=int, default=None, metavar="ID", help="Only this tenant's entries.")
        verify = checks.add_parser("verify", help="Nothing was altered since it was folded: the journal, or an export.")
        verify.add_argument("file", nargs="?", metavar="FILE", help="An export; without it the live journal.")
        verify.add_argument(
            "--key", action="append", default=[], metavar="KEY", help="A public key, or a file of them."
        )
        verify.add_argument(
            "--checkpoint", action="append", default=[], metavar="FILE", help="With FILE: one that was kept outside."
        )
        verify.add_argument("--tenant", type=int, default=None, metavar="ID", help="Without FILE: only this tenant's.")
        export = checks.add_parser("export", help="A tenant's entries as JSON Lines that can be verified.")
        export.add_argument("--tenant", type=int, required=True, metavar="ID")
        export.add_argument("--from", dest="first", type=int, default=0, metavar="POSITION", help="The first position.")
        export.add_argument("--to", dest="end", type=int, default=None, metavar="POSITION", help="The one behind it.")
        granting = checks.add_parser("grant", help="Lets a role of PostgreSQL write the journal, and no more.")
        granting.add_argument("--role", required=True, metavar="NAME", help="The role of JOURNAL_WRITER_URL.")
        checks.add_parser("publickey", help="The key that checkpoints are verified with.")
        checks.add_parser("verifier", help="The stand-alone verifier: save it as verify_journal.py.")

    def handle(self, *args: Any, **options: Any) -> None:
        code = getattr(self, f"_{options['check']}")(options)
        if code:
            sys.exit(code)

    def _balance(self, options: dict[str, Any]) -> int:
        try:
            counted = balance(options["tenant"])
        except AWAY as error:
            return self._cannot(f"the journal could not be read: {error}")
        self.stdout.write(report(counted))
        if settings.JOURNAL_SPOOL:
            waiting = Spools(Path(settings.JOURNAL_SPOOL)).waiting()
            self.stdout.write(f"{waiting} bytes of entries wait in the spool of this machine")
        return 0 if counted.holds else 1

    def _verify(self, options: dict[str, Any]) -> int:
        try:
            keys = verifier.key_text("\n".join(options["key"])) if options["key"] else platform_signer().public_key()
            if options["file"] is not None:
                outside = [verifier.note_of(Path(name).read_text(encoding="utf-8")) for name in options["checkpoint"]]
                verdict = verifier.check_file(options["file"], keys, outside)
                self.stdout.write(verifier.report(verdict))
                return 0 if verdict.holds else 1
            known = read_keys(keys) if options["key"] else platform_signer().keys
            return self._verify_journal(known, options["tenant"])
        except Unreadable as error:
            return self._cannot(str(error))
        except AWAY as error:
            return self._cannot(f"the journal could not be read: {error}")

    def _verify_journal(self, keys: Keys, tenant_id: int | None) -> int:
        found = verifying.verify(keys, default_storage, tenant_id)
        self.stdout.write(told(found, time.time()))
        return 0 if found.holds else 1

    def _export(self, options: dict[str, Any]) -> int:
        try:
            with tree_database() as alias:
                for line in exporting.export(alias, options["tenant"], options["first"], options["end"]):
                    self.stdout.write(line)
        except (exporting.NothingSigned, ValueError) as error:
            return self._cannot(str(error))
        except AWAY as error:
            return self._cannot(f"the journal could not be read: {error}")
        return 0

    def _grant(self, options: dict[str, Any]) -> int:
        try:
            grant_writer(options["role"])
        except (DatabaseError, NotPostgres) as error:
            return self._cannot(f"nothing was granted: {error}")
        self.stdout.write(f"{options['role']} may add entries to the journal, and neither change nor read them")
        return 0

    def _publickey(self, options: dict[str, Any]) -> int:
        self.stdout.write(platform_signer().public_key())
        return 0

    def _verifier(self, options: dict[str, Any]) -> int:
        self.stdout.write(bundling.bundle(), ending="")
        return 0

    def _cannot(self, why: str) -> int:
        self.stderr.write(why)
        return CANNOT_RUN


def report(counted: Balance) -> str:
    """The figures one a line and the verdict last."""
    lines = [f"{name.replace('_', ' '):10}{value:>12}" for name, value in msgspec.structs.asdict(counted).items()]
    return "\n".join([*lines, "the balance holds" if counted.holds else "THE BALANCE DOES NOT HOLD"])


def told(found: verifying.Report, now: float) -> str:
    """What was verified one a line, the findings, and the verdict last."""
    names = ("entries", "leaves", "checkpoints", "removed", "pending")
    lines = [f"{name:12}{getattr(found, name):>12}" for name in names]
    if found.oldest_pending is not None:
        lines[-1] += f"  not folded yet, the oldest is {max(0.0, now - found.oldest_pending):.0f} s old"
    lines += found.findings[:SHOWN]
    if found.broken > SHOWN:
        lines.append(f"… and {found.broken - SHOWN} more")
    return "\n".join(
        [*lines, "the journal holds" if found.holds else f"THE JOURNAL WAS ALTERED: {found.broken} findings"]
    )
