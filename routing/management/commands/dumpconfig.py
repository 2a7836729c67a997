"""`dumpconfig [--tenant SLUG]`: models and routing rules as the YAML that `loadconfig` reads."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from routing.configuration import dump
from tenants.models import Tenant


class Command(BaseCommand):
    help = "Writes models and routing rules as YAML to standard output; secrets as ${NAME}."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", metavar="SLUG", help="the tenant whose they are; without it, the platform's")

    def handle(self, *, tenant: str | None, **_: Any) -> None:
        try:
            scope = None if tenant is None else Tenant.objects.get(slug=tenant)
        except Tenant.DoesNotExist:
            raise CommandError(f"there is no tenant {tenant!r}") from None
        self.stdout.write(dump(tenant=scope), ending="")
