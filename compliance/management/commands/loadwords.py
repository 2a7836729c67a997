from __future__ import annotations

import csv
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from compliance.models.words import SensitiveWordList
from compliance.wordlists import csv_words, replace_words
from tenants.models import Tenant


class Command(BaseCommand):
    help = (
        "Makes a tenant's sensitive-word list hold exactly the words of a file: text (one a line) or CSV (column one)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="UTF-8; *.csv is read as CSV; - is standard input")
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument("--list", required=True, dest="name", metavar="NAME")
        parser.add_argument("--action", choices=SensitiveWordList.Action.values, help="a new list: block")
        parser.add_argument("--direction", choices=SensitiveWordList.Direction.values, help="a new list: both")

    def handle(self, *, file: str, tenant: str, name: str, **options: Any) -> None:
        owner = Tenant.objects.filter(slug=tenant).first()
        if owner is None:
            raise CommandError(f"there is no tenant {tenant!r}")
        try:
            lines = _read(file).splitlines()
            saved = replace_words(
                tenant=owner,
                name=name,
                words=csv_words(lines) if file.lower().endswith(".csv") else lines,
                action=options["action"],
                direction=options["direction"],
            )
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise CommandError(f"{file}: {error}") from None
        except ValidationError as error:
            raise CommandError("\n".join(error.messages)) from None
        self.stdout.write(f"{tenant}/{saved.name}: {saved.size} words, version {saved.version}, action {saved.action}")


def _read(file: str) -> str:
    data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    return data.decode("utf-8-sig")
