"""The second device: while the database is away, batches go to a file on this machine's disk and count as durable; when
it is back they go in, once each and before anything newer. Wraps any `Store`.

What is in the file, the database may have already (a commit whose answer was lost, a crash in the middle of a replay):
an entry is what its turn, kind and number say, and those that are there are skipped."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from compliance.journal.claims import Denials, nothing
from compliance.journal.records import ClaimRow, KeyRow, Row, check
from compliance.journal.replaying import Living, Spools, put, replay_file
from compliance.journal.spoolfile import SpoolFile
from compliance.journal.store import Backlog, RecordRefused, Restoring, Store, StoreAway

log = logging.getLogger(__name__)

PROBE: Final = 0.25  # seconds between two looks whether the database is back
ROOM: Final = 64 << 10  # bytes an entry may take; a spool with less is full
PARTING: Final = 1.0  # seconds for the last entries to go in before the worker stops; then the next one takes them over


class SpoolStore(Spools):
    """One thread writes, as with every store; another one, of its own, has the database while that is away."""

    def __init__(self, store: Store, folder: Path, *, limit: int, living: Living = list) -> None:
        self.worker = store.worker
        self.home = store.home
        super().__init__(folder, own=store.home, living=living)
        self.backlog: Backlog = self
        self._store = store
        self._limit = limit
        self._file: SpoolFile | None = None
        self._opened = False
        self._away = False
        self._replayed = 0  # offset in the file
        self._bound: str | None = None
        self._lock = threading.Lock()  # of the file's end and of what follows from it: whether the database is away
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._drainer = threading.Thread(target=self._run, name="journal-spool", daemon=True)
        store.backlog = self

    @property
    def spooled(self) -> int:
        """Bytes that wait for the database."""
        return self._file.size - self._replayed if self._file is not None else 0

    # Store -------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file = SpoolFile.take(self.path_of(self.home), create=True)
        except OSError as error:
            raise StoreAway(f"the journal's spool cannot be used: {error}") from error
        if self._file is None:
            raise StoreAway(f"another process has {self.path_of(self.home)}")
        try:
            self._open_store()
        except StoreAway as error:
            self._lost(error)
        self._drainer.start()

    def append(self, rows: Sequence[Row], keys: Sequence[KeyRow] = ()) -> None:
        while True:
            if not self._away:
                try:
                    self._store.append(rows, keys)
                    return
                except StoreAway as error:
                    self._lost(error)
            with self._lock:
                if self._away:
                    self._keep(rows, keys)
                    return

    def claim(self, rows: Sequence[Row], keys: Sequence[KeyRow], claims: Sequence[ClaimRow]) -> Denials:
        """Only the database knows who holds a key: while it is away no claim is granted."""
        if not self._away:
            try:
                return self._store.claim(rows, keys, claims)
            except StoreAway as error:
                self._lost(error)
        self.append(rows, keys)
        return nothing(claims)

    def restore(self, rows: Sequence[Row], keys: Sequence[KeyRow] = ()) -> list[Row]:
        return self._store.restore(rows, keys)

    def beat(self, oldest_open: str) -> None:
        if not self._away:
            try:
                self._store.beat(oldest_open)
                self._bound = oldest_open
                return
            except StoreAway as error:
                self._lost(error)
        with self._lock:
            self._bound = oldest_open if self._bound is None else min(self._bound, oldest_open)

    def probe(self) -> None:
        if not self._away:
            try:
                self._store.probe()
                return
            except StoreAway as error:
                self._lost(error)
        assert self._file is not None
        if self._file.size >= self._limit - ROOM:
            raise StoreAway(f"the journal's database is away and {self._file.path} is full")

    def sweep(self) -> int:
        return 0 if self._away else self._store.sweep()

    def close(self, *, finished: bool) -> None:
        until = time.monotonic() + PARTING
        while self._away and self._drainer.is_alive() and time.monotonic() < until:
            time.sleep(0.01)
        self._stopping.set()
        self._wake.set()
        if self._drainer.is_alive():
            self._drainer.join(5.0)
        empty = self._file is None or not self.spooled
        self._store.close(finished=finished and empty)
        if self._file is not None:  # also an empty one tells the next worker whose turns are to be ended
            self._file.remove() if empty and finished else self._file.close()

    # Backlog -----------------------------------------------------------------------------------------------------

    def replay(self, store: Restoring, home: str) -> dict[str, str] | None:
        if home != self.home:
            return super().replay(store, home)
        assert self._file is not None
        lowest, self._replayed = replay_file(store, self._file, self.living)
        return lowest

    # The writer's thread -----------------------------------------------------------------------------------------

    def _lost(self, error: StoreAway) -> None:
        log.error("the journal's database is away, entries wait in %s: %s", self.path_of(self.home), error)
        with self._lock:
            self._away = True
        self._wake.set()

    def _keep(self, rows: Sequence[Row], keys: Sequence[KeyRow]) -> None:
        """What the database would refuse is refused now: nobody can be told later."""
        assert self._file is not None
        try:
            for row in rows:
                check(row)
        except (ValueError, TypeError) as error:
            raise RecordRefused(str(error)) from error
        try:
            self._file.append(rows, keys, limit=self._limit)
        except OSError as error:
            raise StoreAway(f"neither the journal's database nor its spool take an entry: {error}") from error

    # The drainer's thread ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait()
            self._wake.clear()
            while self._away and not self._stopping.is_set():
                with contextlib.suppress(StoreAway):
                    self._drain()
                if self._away:
                    self._stopping.wait(PROBE)

    def _drain(self) -> None:
        """Raises StoreAway."""
        assert self._file is not None
        if not self._opened:
            self._open_store()
        with self._lock:
            bound = self._bound
        if bound is not None:
            self._store.beat(bound)
        while self._away and not self._stopping.is_set():
            for (rows, keys), after in self._file.batches(self._replayed):
                put(self._store, rows, self.living(keys), self._file.path)
                self._replayed = after
                if self._stopping.is_set():
                    return
            with self._lock:
                if self._replayed == self._file.size:
                    self._settle()

    def _settle(self) -> None:
        """All is in the database: from here on it has the writer again."""
        assert self._file is not None
        try:
            self._file.clear()
        except OSError as error:
            raise StoreAway(f"{self._file.path}: {error}") from error
        self._replayed = 0
        self._away = False
        log.warning("the journal's database is back, and has what waited in %s", self._file.path)

    def _open_store(self) -> None:
        """On SQLite the file of a slot may hold what its last writer left; on PostgreSQL that is in other files."""
        assert self._file is not None
        self._store.open()
        self._opened = True
        if self._replayed == self._file.size and not self._away:
            self._file.clear()
            self._replayed = 0
