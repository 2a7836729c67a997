from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from compliance.models.words import Action, Direction, SensitiveWordList
from compliance.wordfiles import WordFile, a_list_each, read_folder, read_words
from compliance.wordlists import lists_of, replace_words
from tenants.models import Tenant

BY: Final = "loadwords"
SAMPLE: Final = Path(__file__).parents[2] / "samples" / "sample.txt"


class Command(BaseCommand):
    help = (
        "Makes a sensitive-word list hold exactly the words of a file: text (one a line) or CSV (column one). Of a "
        "folder, every .txt and .csv file makes a list of its name, or with --list all make one."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", nargs="?", help="UTF-8; *.csv is read as CSV; - is standard input; or a folder")
        add_owner(parser)
        parser.add_argument("--list", dest="name", metavar="NAME", help="unless given: the file's name")
        parser.add_argument("--action", choices=Action.values, help="the stage; a new list: block")
        parser.add_argument("--direction", choices=Direction.values, help="a new list: both")
        parser.add_argument("--switches", metavar="A,B", help="what is seen through; 'none', or names with commas")
        parser.add_argument("--disabled", dest="enabled", action="store_false", default=None, help="off from now on")
        parser.add_argument("--enabled", dest="enabled", action="store_true", default=None, help="on from now on")
        parser.add_argument("--mandatory", action="store_true", default=None, help="of the platform's: for everyone")
        parser.add_argument("--public", action="store_true", default=None, help="of the platform's: words readable")
        parser.add_argument(
            "--sample", action="store_true", help="the small list that is shipped; new, it is off (the platform's)"
        )

    def handle(
        self, *, file: str | None, tenant: str | None, platform: bool, name: str | None, sample: bool, **options: Any
    ) -> None:
        if sample and file is None:
            file, name, platform = str(SAMPLE), name or "Sample", platform or tenant is None
        if file is None:
            raise CommandError("name a file or a folder, or say --sample")
        owner = owner_of(tenant, platform)
        fields = {key: options[key] for key in ("action", "direction", "enabled", "mandatory", "public")}
        if options["switches"] is not None:
            fields["switches"] = [] if options["switches"] == "none" else options["switches"].split(",")
        try:
            with transaction.atomic():
                for each in _read(file, name):
                    self._save(owner, each, fields, sample=sample)
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror}") from None
        except ValidationError as error:
            raise CommandError("\n".join(error.messages)) from None

    def _save(self, owner: Tenant | None, file: WordFile, fields: dict[str, Any], *, sample: bool) -> None:
        pk = owner.pk if owner is not None else None
        if sample and fields["enabled"] is None and not lists_of(pk).filter(name=file.name).exists():
            fields = {**fields, "enabled": False}
        saved = replace_words(
            tenant=owner, name=file.name, words=file.words, by=BY, note=f"loaded {file.name}", **fields
        )
        slug = owner.slug if owner is not None else "platform"
        self.stdout.write(said(slug, saved))


def add_owner(parser: ArgumentParser) -> None:
    owner = parser.add_mutually_exclusive_group()
    owner.add_argument("--tenant", metavar="SLUG", help="whose list it is")
    owner.add_argument("--platform", action="store_true", help="a list of the platform's, for tenants to subscribe to")


def owner_of(tenant: str | None, platform: bool) -> Tenant | None:
    """None: the platform."""
    if tenant is None:
        if not platform:
            raise CommandError("say whose list it is: --tenant SLUG or --platform")
        return None
    owner = Tenant.objects.filter(slug=tenant).first()
    if owner is None:
        raise CommandError(f"there is no tenant {tenant!r}")
    return owner


def said(slug: str, saved: SensitiveWordList) -> str:
    off = "" if saved.enabled else ", switched off"
    return f"{slug}/{saved.name}: {saved.size} words, version {saved.version}, action {saved.action}{off}"


def _read(file: str, name: str | None) -> list[WordFile]:
    if file == "-":
        if name is None:
            raise CommandError("standard input has no name: give one with --list")
        return [WordFile(name, read_words(sys.stdin.buffer.read(), "-", is_csv=False))]
    path = Path(file)
    if not path.is_dir():
        return [WordFile(name or path.stem, read_words(path.read_bytes(), file))]
    files = read_folder(path)
    if name is None:
        return a_list_each(files)
    return [WordFile(name, [word for each in files for word in each.words])]
