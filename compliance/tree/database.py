"""Where the tree stands: in the sequencer's own file beside the journal's, or in the journal's database on a server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final

from django.db import connections

from compliance.database import ALIAS, first_file
from compliance.journal import slots, tables

_numbers: Final = count(1)
_DURABLE: Final = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"  # what was signed must not be forgotten


@contextmanager
def tree_database() -> Iterator[str]:
    """The alias under which the tree's tables are read, for this thread and as long as the context lasts.

    Where no sequencer ran yet they are the journal's own, empty ones."""
    first = first_file()
    path = slots.slot_path(first, slots.SEQUENCER) if first is not None else None
    if path is None or not tables.migrated(path, "compliance_treerun"):
        yield ALIAS
        return
    with open_file(path) as alias:
        yield alias


@contextmanager
def open_file(path: Path) -> Iterator[str]:
    """A file of the journal under an alias of its own. Commits are durable."""
    alias = f"{ALIAS}-tree-{next(_numbers)}"
    settings = connections[ALIAS].settings_dict
    options = {**settings["OPTIONS"], "init_command": _DURABLE}
    connections.databases[alias] = {**settings, "NAME": str(path), "OPTIONS": options}
    try:
        yield alias
    finally:
        connections[alias].close()
        del connections[alias]
        del connections.databases[alias]
