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


def stored(place: Place) -> list[Stored]:
    """The entries as they lie in the database."""
    return [Stored(*row) for row in rows(place, ", ".join(Stored._fields))]


def opened(place: Place) -> list[Opened]:
    """Their JSON."""
    keys = {key_id: bytes(wrapped) for key_id, wrapped in run(place, "SELECT id, wrapped FROM compliance_subjectkey")}
    opener = Opener(KEYS.get, lambda tenant_id, ids: {each: keys[each] for each in ids if each in keys})
    return opener.open(stored(place))
