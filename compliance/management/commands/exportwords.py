from __future__ import annotations

import re
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from compliance.management.commands.loadwords import add_owner, owner_of, said
from compliance.models.words import SensitiveWordList
from compliance.wordfiles import as_csv, as_text
from compliance.wordlists import lists_of


class Command(BaseCommand):
    help = "Writes sensitive-word lists as files that loadwords reads: one to a file, or all of an owner to a folder."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="*.csv is written as CSV; - is standard output; without --list a folder")
        add_owner(parser)
        parser.add_argument("--list", dest="name", metavar="NAME", help="only this list")
        parser.add_argument("--csv", action="store_true", help="CSV whatever the file's name is, and in a folder")

    def handle(self, *, file: str, tenant: str | None, platform: bool, name: str | None, csv: bool, **_: Any) -> None:
        owner = owner_of(tenant, platform)
        lists = lists_of(owner.pk if owner is not None else None).order_by("pk")
        slug = owner.slug if owner is not None else "platform"
        try:
            if name is None:
                self._write_all(Path(file), slug, list(lists), csv)
                return
            found = lists.filter(name=name).first()
            if found is None:
                raise CommandError(f"there is no list {name!r}")
            text = as_file(found, csv or file.lower().endswith(".csv"))
            if file == "-":
                self.stdout.write(text, ending="")
                return
            Path(file).write_text(text, encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror}") from None
        self.stdout.write(said(slug, found))

    def _write_all(self, folder: Path, slug: str, lists: list[SensitiveWordList], csv: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for each in lists:
            name = file_name(each.name)
            if any(other is not each and file_name(other.name) == name for other in lists):
                name = f"{name}-{each.pk}"
            (folder / f"{name}.{'csv' if csv else 'txt'}").write_text(as_file(each, csv), encoding="utf-8")
            self.stdout.write(said(slug, each))


def as_file(words: SensitiveWordList, csv: bool) -> str:
    lines = words.words.splitlines()
    return as_csv(lines) if csv else as_text(lines)


def file_name(name: str) -> str:
    """A list's name as a file's, without what file systems do not take."""
    return re.sub(r"[^\w. -]+", "_", name).strip(" .") or "_"
