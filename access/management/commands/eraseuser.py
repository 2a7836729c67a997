"""`eraseuser --tenant SLUG --user ID` erases a user; `eraseuser --replay` erases everybody again who ever was, after an
old backup came back. Exit 0; 1: it failed, and is to be repeated; 2: there is no such tenant."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from access import erasing
from access.erasure_requests import prepare_erasure
from compliance.journal.slots import NoSlot
from compliance.journal.store import StoreAway
from engine.errors import EngineError
from tenants.models import Job, Tenant

FAILED, UNKNOWN = 1, 2


class Command(BaseCommand):
    help = "Erases what a user said, everywhere, and writes a signed certificate."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", metavar="SLUG")
        parser.add_argument("--user", metavar="ID", help="as the journal calls them: 12, key:7, key:7:alice")
        parser.add_argument("--replay", action="store_true", help="erase all again who were erased before")

    def handle(self, *, tenant: str | None, user: str | None, replay: bool, **_: Any) -> None:
        if replay == (tenant is not None or user is not None) or (tenant is None) != (user is None):
            raise CommandError("give --tenant and --user, or --replay alone", returncode=UNKNOWN)
        if tenant is not None and user is not None:
            self._erase(tenant, user)
        else:
            self._replay()

    def _erase(self, slug: str, user: str) -> None:
        tenant = Tenant.objects.filter(slug=slug).first()
        if tenant is None:
            raise CommandError(f"there is no tenant {slug}", returncode=UNKNOWN)
        try:
            erasure = prepare_erasure(tenant=tenant, user=user, created_by="command eraseuser")
        except ValidationError as error:
            raise CommandError(" ".join(error.messages), returncode=UNKNOWN) from None
        except (EngineError, DatabaseError) as error:
            raise CommandError(str(error), returncode=FAILED) from None
        assert erasure.job_id is not None
        erasing.run(erasure.job_id)
        job = Job.objects.for_tenant(tenant.pk).get(pk=erasure.job_id)
        if job.state != Job.State.DONE:
            raise CommandError(job.error, returncode=FAILED)
        erasure.refresh_from_db()
        self.stdout.write(f"erased {erasure.subject}, certificate {erasure.certificate}")

    def _replay(self) -> None:
        try:
            counts = erasing.erase_again()
        except (EngineError, StoreAway, DatabaseError, NoSlot, OSError) as error:
            raise CommandError(f"not everything could be erased again: {error}", returncode=FAILED) from None
        self.stdout.write(", ".join(f"{name} {count}" for name, count in counts.items()))
