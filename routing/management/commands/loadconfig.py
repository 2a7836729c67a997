"""`loadconfig FILE [--tenant SLUG]`: models and routing rules from a YAML file; `-` is standard input."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from routing.configuration import load
from routing.documents import ConfigurationError
from tenants.models import Tenant


class Command(BaseCommand):
    help = "Loads models and routing rules from a YAML file, as a whole or not at all; ${NAME} is a variable."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="path of the YAML file, or - for standard input")
        parser.add_argument("--tenant", metavar="SLUG", help="the tenant they belong to; without it, the platform")

    def handle(self, *, file: str, tenant: str | None, **_: Any) -> None:
        try:
            text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8-sig")
            scope = None if tenant is None else Tenant.objects.get(slug=tenant)
            outcome = load(text, tenant=scope, environ=os.environ)
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{file}: {error}") from None
        except Tenant.DoesNotExist:
            raise CommandError(f"there is no tenant {tenant!r}") from None
        except ConfigurationError as error:
            raise CommandError(f"{'<stdin>' if file == '-' else file}:{error}") from None
        self.stdout.write(str(outcome))
