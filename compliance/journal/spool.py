"""The second device: while the database is away, batches go to a file on this machine's disk and count as durable; when
it is back they go in, once each and before anything newer. Wraps any `Store`.

What is in the file, the database may have already (a commit whose answer was lost, a crash in the middle of a replay):
an entry is what its turn, kind and number say, and those that are there are skipped."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from compliance.journal.records import KeyRow, Row, check
from compliance.journal.spoolfile import SpoolFile
from compliance.journal.store import Backlog, RecordRefused, Restoring, Store, StoreAway

log = logging.getLogger(__name__)

PROBE: Final = 0.25  # seconds between two looks whether the database is back
_WORKER: Final = 5  # of COLUMNS


class SpoolStore:
    """One thread writes, as with every store; another one, of its own, has the database while that is away."""

    kept: Final = True

    def __init__(self, store: Store, folder: Path, *, limit: int) -> None:
        self.worker = store.worker
        self.home = store.home
        self.backlog: Backlog = self
        self._store = store
        self._folder = folder
        self._limit = limit
        self._file: SpoolFile | None = None
        self._opened = False
        self._away = False
        self._replayed = 0  # offset in the file
        self._bound: str | None = None
        self._lock = threading.Lock()  # of the file's end and of what follows from it: whether the database is away
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._taken: dict[str, SpoolFile] = {}
        self._drainer = threading.Thread(target=self._run, name="journal-spool", daemon=True)
        store.backlog = self

    @property
    def spooled(self) -> int:
        """Bytes that wait for the database."""
        return self._file.size - self._replayed if self._file is not None else 0

    # Store -------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = SpoolFile.take(self._path(self.home), create=True)
        except OSError as error:
            raise StoreAway(f"the journal's spool cannot be used: {error}") from error
        if self._file is None:
            raise StoreAway(f"another process has {self._path(self.home)}")
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

    def restore(self, rows: Sequence[Row], keys: Sequence[KeyRow] = ()) -> list[Row]:
        return self._store.restore(rows, keys)

    def beat(self, oldest_open: str) -> None:
        if not self._away:
            try:
                self._store.beat(oldest_open)
                return
            except StoreAway as error:
                self._lost(error)
        with self._lock:
            self._bound = oldest_open if self._bound is None else min(self._bound, oldest_open)

    def sweep(self) -> int:
        return 0 if self._away else self._store.sweep()

    def close(self, *, finished: bool) -> None:
        self._stopping.set()
        self._wake.set()
        if self._drainer.is_alive():
            self._drainer.join(5.0)
        empty = self._file is None or not self.spooled
        self._store.close(finished=finished and empty)
        if self._file is not None:
            self._file.remove() if empty else self._file.close()

    # Backlog -----------------------------------------------------------------------------------------------------

    def homes(self) -> list[str]:
        return sorted(path.stem for path in self._folder.glob("*.spool") if path.stem != self.home)

    def replay(self, store: Restoring, home: str) -> dict[str, str] | None:
        if home == self.home:
            assert self._file is not None
            lowest, self._replayed = _replay(store, self._file)
            return lowest
        try:
            file = SpoolFile.take(self._path(home))
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StoreAway(f"{self._path(home)}: {error}") from error
        if file is None:
            return None
        try:
            lowest, _ = _replay(store, file)
        except BaseException:
            file.close()
            raise
        self._taken[home] = file
        log.warning("what waited in %s is in the journal now", file.path)
        return lowest

    def release(self, home: str, *, ended: bool) -> None:
        file = self._taken.pop(home, None)
        if file is not None:
            file.remove() if ended else file.close()

    # The writer's thread -----------------------------------------------------------------------------------------

    def _lost(self, error: StoreAway) -> None:
        log.error("the journal's database is away, entries wait in %s: %s", self._path(self.home), error)
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

    def _path(self, home: str) -> Path:
        return self._folder / f"{home}.spool"

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
                _put(self._store, rows, keys, self._file.path)
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
        self._bound = None
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


def _replay(store: Restoring, file: SpoolFile) -> tuple[dict[str, str], int]:
    """The lowest turn by worker, and how far it came: there may be more by now."""
    lowest: dict[str, str] = {}
    end = 0
    for (rows, keys), after in file.batches():
        end = after
        _put(store, rows, keys, file.path)
        for row in rows:
            worker = row[_WORKER]
            lowest[worker] = min(row[0], lowest.get(worker, row[0]))
    return lowest, end


def _put(store: Restoring, rows: Sequence[Row], keys: Sequence[KeyRow], path: Path) -> None:
    """Raises StoreAway."""
    with contextlib.suppress(RecordRefused):
        store.append(rows, keys)
        return
    try:
        foreign = store.restore(rows, keys)
    except RecordRefused as error:
        if len(rows) > 1:
            for row in rows:
                _put(store, [row], keys, path)
            return
        log.error("the journal's database refuses an entry of turn %s: %s", rows[0][0], error)
        foreign = list(rows)
    if foreign:
        _set_aside(foreign, keys, path.with_suffix(".refused"))


def _set_aside(rows: Sequence[Row], keys: Sequence[KeyRow], path: Path) -> None:
    """Not lost: kept beside the spool for whoever looks into it. An open end that another worker ended is among them
    when that one took this one for dead."""
    log.error("%d entries that the journal does not take are kept in %s", len(rows), path)
    try:
        file = SpoolFile.take(path, create=True)
        if file is None:
            raise StoreAway(f"another process has {path}")
        try:
            file.append(rows, keys, limit=1 << 40)
        finally:
            file.close()
    except OSError as error:
        raise StoreAway(f"{path}: {error}") from error
