"""`rotatekeys` seals everything again with the first key of MASTER_KEY, while the platform runs; `--check` only looks.
Exit 0: all is sealed with it, older keys can be removed; 1: something is not."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tenants import rotating


class Command(BaseCommand):
    help = "Seals provider keys and tenant keys again with the first key of MASTER_KEY. Workers go on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="change nothing, say what is left to do")

    def handle(self, *, check: bool, **_: Any) -> None:
        told = rotating.seal_again(only_look=check)
        self.stdout.write(f"{told.current} current, {told.sealed} {'still old' if check else 'sealed again'}")
        for what in told.broken:
            self.stderr.write(f"cannot be opened with any of the keys: {what}")
        if told.broken or (check and told.sealed):
            raise CommandError("not everything is sealed with the first key", returncode=1)
