"""When API keys were used last, for lists of them: those open, and end keys, with the journal's database away too."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import DatabaseError

from compliance.journal.slots import NoSlot
from compliance.usage import reader


def last_use_of(tenant_id: int, key_ids: Sequence[int]) -> dict[int, float] | None:
    """In Unix seconds; keys never used are not there. None: it cannot be read now."""
    try:
        return reader.last_used(tenant_id, key_ids)
    except (DatabaseError, NoSlot):
        return None
