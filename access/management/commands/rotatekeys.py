"""`rotatekeys` seals everything again with the first key of MASTER_KEY, while the platform runs; `--check` only looks.
`--tenants` replaces the tenants' keys, `--drop-retired` removes those that were replaced over an hour ago. Exit 0: done
(after `--check`: older master keys can be removed); 1: something is not."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from access.people import sealed_factors
from compliance.journal.slots import NoSlot
from compliance.journal.store import StoreAway
from compliance.sealing import rewrapping
from tenants import rotating
from tenants.secrets import SealBroken


class Command(BaseCommand):
    help = "Seals provider keys, tenant keys and second factors again with the first key of MASTER_KEY. Workers go on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        ways = parser.add_mutually_exclusive_group()
        ways.add_argument("--check", action="store_true", help="change nothing, say what is left to do")
        ways.add_argument("--tenants", action="store_true", help="make new tenant keys, wrap users' keys with them")
        ways.add_argument("--drop-retired", action="store_true", help="remove tenant keys replaced over an hour ago")

    def handle(self, *, check: bool = False, tenants: bool = False, drop_retired: bool = False, **_: Any) -> None:
        if tenants or drop_retired:
            self._rewrap(drop_retired)
            return
        told = rotating.seal_again(only_look=check)
        sealed_factors.seal_again(told, only_look=check)
        self.stdout.write(f"{told.current} current, {told.sealed} {'still old' if check else 'sealed again'}")
        for what in told.broken:
            self.stderr.write(f"cannot be opened with any of the keys: {what}")
        if told.broken or (check and told.sealed):
            raise CommandError("not everything is sealed with the first key", returncode=1)

    def _rewrap(self, drop_retired: bool) -> None:
        try:
            told = rewrapping.drop_retired() if drop_retired else rewrapping.rotate()
        except (StoreAway, SealBroken, DatabaseError, NoSlot) as error:
            raise CommandError(f"not all keys could be replaced, repeat it: {error}", returncode=1) from None
        what = "dropped" if drop_retired else "made"
        self.stdout.write(f"{told.tenants} tenant keys {what}, {told.keys} data keys wrapped anew")
