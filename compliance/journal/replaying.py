"""From spool files into a database: once each, whatever of them is there already."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from compliance.journal.records import COLUMNS, KeyRow, Row
from compliance.journal.spoolfile import SpoolFile
from compliance.journal.store import RecordRefused, Restoring, StoreAway

Living = Callable[[list[KeyRow]], list[KeyRow]]

log = logging.getLogger(__name__)

_WORKER: Final = 5
assert COLUMNS[_WORKER] == "worker"


class Spools:
    """A folder of spool files as the `Backlog` of a store that ends the turns of dead workers; `own` is not theirs."""

    kept: Final = True

    @property
    def spooled(self) -> int:
        return 0

    def waiting(self) -> int:
        """Bytes in all files of the folder, whoever's they are."""
        return sum(path.stat().st_size for path in self.folder.glob("*.spool"))

    def __init__(self, folder: Path, *, own: str = "", living: Living = list) -> None:
        """`living`: those of some data keys whose subjects were not erased after the keys were made."""
        self.folder = folder
        self.living = living
        self._own = own
        self._taken: dict[str, SpoolFile] = {}

    def path_of(self, home: str) -> Path:
        return self.folder / f"{home}.spool"

    def homes(self) -> list[str]:
        return sorted(path.stem for path in self.folder.glob("*.spool") if path.stem != self._own)

    def replay(self, store: Restoring, home: str) -> dict[str, str] | None:
        try:
            file = SpoolFile.take(self.path_of(home))
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StoreAway(f"{self.path_of(home)}: {error}") from error
        if file is None:
            return None
        try:
            lowest, _ = replay_file(store, file, self.living)
        except BaseException:
            file.close()
            raise
        self._taken[home] = file
        if lowest:
            log.warning("what waited in %s is in the journal now", file.path)
        return lowest

    def release(self, home: str, *, ended: bool) -> None:
        file = self._taken.pop(home, None)
        if file is not None:
            file.remove() if ended else file.close()


def replay_file(store: Restoring, file: SpoolFile, living: Living) -> tuple[dict[str, str], int]:
    """The lowest turn by worker, and how far it came: there may be more by now."""
    lowest: dict[str, str] = {}
    end = 0
    for (rows, keys), after in file.batches():
        end = after
        put(store, rows, living(keys), file.path)
        for row in rows:
            worker = row[_WORKER]
            lowest[worker] = min(row[0], lowest.get(worker, row[0]))
    return lowest, end


def put(store: Restoring, rows: Sequence[Row], keys: Sequence[KeyRow], path: Path) -> None:
    """Raises StoreAway."""
    with contextlib.suppress(RecordRefused):
        store.append(rows, keys)
        return
    try:
        foreign = store.restore(rows, keys)
    except RecordRefused as error:
        if len(rows) > 1:
            for row in rows:
                put(store, [row], keys, path)
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
