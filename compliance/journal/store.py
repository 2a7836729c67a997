"""The seam between the journal's writer and a database: `SqliteStore` is one side, another database another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from compliance.journal.records import KeyRow, Row


class StoreError(Exception):
    """
    StoreError
    ├── RecordRefused    the database will never take a record of these; nothing of the batch was written
    └── StoreAway        locked, full, read-only, gone: the same batch may succeed later
    """


class RecordRefused(StoreError):
    pass


class StoreAway(StoreError):
    pass


class Store(Protocol):
    """Blocking. Used by one thread at a time, except `sweep`, which comes from a thread of its own."""

    worker: str

    def open(self) -> None:
        """Connects, announces the worker, ends what a dead worker left open where this one writes. Raises StoreAway."""

    def append(self, rows: Sequence[Row], keys: Sequence[KeyRow] = ()) -> None:
        """All of `rows`, and the `keys` they are sealed with, in one transaction, durable on return. A key that is
        there already is left as it is. Raises RecordRefused, StoreAway."""

    def beat(self, oldest_open: str) -> None:
        """The worker lives; no open turn of it has an id below `oldest_open`. Raises StoreAway."""

    def sweep(self) -> int:
        """Ends, as `aborted`, the open turns of dead workers everywhere else; how many. Raises StoreAway."""

    def close(self, *, finished: bool) -> None:
        """`finished`: no turn is open and the worker takes its leave. Never raises."""
