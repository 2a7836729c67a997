"""`movetenant SLUG --to database|prefix|URL` moves a tenant's store while it is in use, and finishes a move that was
interrupted; `--abort` takes one back. Exit 0: done; 1: not, and turns go on where they were."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from engine.errors import StoreUnavailable
from sessions_app import moving
from sessions_app.moving import CannotMove, Place
from tenants.models import Tenant
from tenants.resp import CommandRefused


class Command(BaseCommand):
    help = "Moves a tenant's store to another layout or server. Its turns wait some seconds."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tenant", metavar="SLUG")
        ways = parser.add_mutually_exclusive_group(required=True)
        ways.add_argument("--to", metavar="PLACE", help="database, prefix, or the address of a server of its own")
        ways.add_argument("--abort", action="store_true", help="take back a move whose address was not changed yet")

    def handle(self, *, tenant: str, to: str | None = None, abort: bool = False, **_: Any) -> None:
        row = Tenant.objects.filter(slug=tenant).first()
        if row is None:
            raise CommandError(f"there is no tenant {tenant!r}", returncode=1)
        try:
            if abort:
                moving.abort(row, self.stdout.write)
            else:
                moving.move(row, Place.named(to or ""), self.stdout.write)
        except (CannotMove, ValidationError) as error:
            raise CommandError("; ".join(getattr(error, "messages", None) or [str(error)]), returncode=1) from None
        except CommandRefused as error:
            raise CommandError(f"the store refused it: {error.reply}; ask again to finish", returncode=1) from None
        except StoreUnavailable as error:
            raise CommandError(f"{error.message} Ask again to finish.", returncode=1) from None
