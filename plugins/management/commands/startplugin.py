"""`startplugin NAME [FOLDER]`: begins a plugin's package, which installs and passes its test as it is. Exit 0; 1: the
name is no good, or the folder is there."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from plugins.starting import CannotStart, start


class Command(BaseCommand):
    help = "Begins a plugin's package: pyproject.toml with the entry point, the plugin, its test, a README."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="what the plugin is called, such as glossary")
        parser.add_argument("folder", nargs="?", help="a folder that is not there yet; clawdbot-NAME unless told")

    def handle(self, *, name: str, folder: str | None, **_: Any) -> None:
        try:
            written = start(name, Path(folder) if folder else None)
        except CannotStart as error:
            raise CommandError(str(error)) from None
        for path in written:
            self.stdout.write(str(path))
