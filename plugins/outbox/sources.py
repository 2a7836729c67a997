"""What the publisher needs of a tenant's journal. `access.journal_events` is the other side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from plugins.outbox.events import Event


class Placed(NamedTuple):
    """An event, the position of the entry that it tells of, and when that was written (Unix seconds)."""

    position: int
    event: Event
    at: float


class Batch(NamedTuple):
    """`position` is the first that was not read. `pruned`: so many entries on the way were removed by retention."""

    events: list[Placed]
    position: int
    pruned: int


class EventSource(Protocol):
    """Blocking; from any thread. Raises django.db.Error, sqlite3.Error."""

    def heads(self) -> dict[int, int]:
        """How long every tenant's journal is, by the tenant's id."""

    def position_at(self, tenant_id: int, at: float) -> int:
        """One that no entry of that time (Unix seconds) or later lies before."""

    def read(
        self, tenant_id: int, slug: str, position: int, most: int, *, types: Sequence[str], content: bool
    ) -> Batch:
        """The events of these types from the position on, of at most so many entries, in order."""

    def age(self, tenant_id: int, position: int) -> float:
        """Seconds since the entry there was written; 0.0: there is none."""
