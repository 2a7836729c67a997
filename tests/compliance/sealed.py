"""What a journal of the suites holds, as it is stored and opened again."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from compliance.sealing.opening import Opened, Opener
from tests.compliance.journals import KEYS, rows


class Stored(NamedTuple):
    turn_id: str
    kind: str
    number: int
    tenant_id: int
    body: bytes


def stored(path: Path) -> list[Stored]:
    """The entries as they lie in the file."""
    return [Stored(*row) for row in rows(path, ", ".join(Stored._fields))]


def opened(path: Path) -> list[Opened]:
    """Their JSON."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
        keys = dict(database.execute("SELECT id, wrapped FROM compliance_subjectkey").fetchall())
    opener = Opener(KEYS.get, lambda tenant_id, ids: {each: keys[each] for each in ids if each in keys})
    return opener.open(stored(path))
