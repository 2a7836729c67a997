"""`manage.py analyse`: reads what is new in the journals into the sums that consoles show, as the schedule does each
minute. Exit 0: all was read; 1: there is no such tenant; 2: it could not be done, or another run is at it."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError

from compliance.analysis import running
from tenants.models import Tenant

LONGEST: Final = 365 * 86_400.0
CANNOT_RUN: Final = 2


class Command(BaseCommand):
    help = "Reads what is new in the journals into the sums that consoles show."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", metavar="SLUG", help="Only this tenant's.")
        parser.add_argument(
            "--rebuild",
            action="store_true",
            help="Forgets all sums and reads from the beginning: what retention removed is lost to them.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        tenants = None
        if options["tenant"] is not None:
            tenants = list(Tenant.objects.filter(slug=options["tenant"]).values_list("pk", flat=True))
            if not tenants:
                raise CommandError(f"there is no tenant {options['tenant']}")
        try:
            ran = running.run(seconds=LONGEST, tenants=tenants, rebuild=options["rebuild"])
        except running.TROUBLE as error:
            self.stderr.write(f"The journals could not be read: {error}")
            sys.exit(CANNOT_RUN)
        if ran.elsewhere or ran.more:
            self.stderr.write("Another run is at it: ask again when it is done.")
            sys.exit(CANNOT_RUN)
        self.stdout.write(f"{ran.entries} entries were read.")
