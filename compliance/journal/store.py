"""The seam between the journal's writer and a database: `SqliteStore` is one side, another database another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from compliance.journal.claims import Denials
from compliance.journal.records import ClaimRow, KeyRow, Row


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


class Restoring(Protocol):
    def append(self, rows: Sequence[Row], keys: Sequence[KeyRow] = ()) -> None:
        """All of `rows`, and the `keys` they are sealed with, in one transaction, durable on return. A key that is
        there already is left as it is. Raises RecordRefused, StoreAway."""

    def restore(self, rows: Sequence[Row], keys: Sequence[KeyRow] = ()) -> list[Row]:
        """`append` for rows that may be there already: such are left as they are. What comes back are those in whose
        place there is another worker's entry. Raises RecordRefused, StoreAway."""


class Backlog(Protocol):
    """What a database has not taken yet waits under the name of its home (see `spool`). A store that ends the turns of
    a dead worker lets what waits go in before, or turns would be ended that were."""

    kept: Final[bool]

    @property
    def spooled(self) -> int:
        """Bytes of this process's own that wait."""

    def homes(self) -> list[str]:
        """Where something may wait that is not this process's own."""

    def replay(self, store: Restoring, home: str) -> dict[str, str] | None:
        """All that waits there goes into the store: the lowest id of a turn by worker. None: somebody living has it.
        Raises StoreAway."""

    def release(self, home: str, *, ended: bool) -> None:
        """After `replay`. `ended`: so are the turns of its workers, and nothing is left to be done there."""


class NoBacklog:
    kept: Final = False
    spooled: Final = 0

    def homes(self) -> list[str]:
        return []

    def replay(self, store: Restoring, home: str) -> dict[str, str] | None:
        return {}

    def release(self, home: str, *, ended: bool) -> None: ...


class Claiming(Protocol):
    def claim(self, rows: Sequence[Row], keys: Sequence[KeyRow], claims: Sequence[ClaimRow]) -> Denials:
        """`append`, and in the same transaction the idempotency keys that intents among the rows come with. All rows
        are written; what comes back are the turns that do not hold their keys. Raises RecordRefused, StoreAway."""


class Store(Restoring, Claiming, Protocol):
    """Blocking. Used by one thread at a time, except `sweep`, which comes from a thread of its own.

    `home` names the place a worker writes in; `backlog` is what waits for such places elsewhere."""

    worker: str
    home: str
    backlog: Backlog

    def open(self) -> None:
        """Connects, announces the worker, ends what a dead worker left open where this one writes. Raises StoreAway."""

    def beat(self, oldest_open: str) -> None:
        """The worker lives; no open turn of it has an id below `oldest_open`. Raises StoreAway."""

    def probe(self) -> None:
        """Whether an entry would be taken now; writes none. Raises StoreAway."""

    def sweep(self) -> int:
        """Ends, as `aborted`, the open turns of dead workers everywhere else; how many. Raises StoreAway."""

    def close(self, *, finished: bool) -> None:
        """`finished`: no turn is open and the worker takes its leave. Never raises."""
