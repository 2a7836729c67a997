"""What a journal of the suites holds, as it is stored and opened again."""

from __future__ import annotations

from typing import NamedTuple

from compliance.sealing.opening import Opened, Opener
from tests.compliance.journals import KEYS, Place, rows, run


class Stored(NamedTuple):
    turn_id: str
    kind: str
    number: int
    tenant_id: int
    body: bytes


def stored(path: Place) -> list[Stored]:
    """The entries as they lie in the file."""
    return [Stored(*row) for row in rows(path, ", ".join(Stored._fields))]


def opened(path: Place) -> list[Opened]:
    """Their JSON."""
    keys = dict(run(path, "SELECT id, wrapped FROM compliance_subjectkey"))
    opener = Opener(KEYS.get, lambda tenant_id, ids: {each: keys[each] for each in ids if each in keys})
    return opener.open(stored(path))
