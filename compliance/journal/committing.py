"""The one thread that writes: takes a batch, commits it, tells the event loop; shows once a second that it lives."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from compliance.journal.claims import Denials
from compliance.journal.records import INTENT, ClaimRow, Row
from compliance.journal.store import RecordRefused, Store, StoreAway
from compliance.sealing.sealer import UNSEALABLE, Sealer

log = logging.getLogger(__name__)

BEAT: Final = 1.0  # seconds
MARGIN: Final = 5.0  # seconds a turn rarely takes from its start to its intent

Outcome = tuple[int, set[int], StoreAway | None, Denials]
Landed = Callable[[int, set[int], StoreAway | None, Denials], None]
Beaten = Callable[[StoreAway | None, bool], None]


class CommitThread:
    """One batch at a time: `hand`, then `landed` is called on the loop before the next may be handed.

    `landed(done, refused, error, denied)`: the first `done` rows are durable, but for the indexes in `refused`; `error`
    says why the others are not. The turns in `denied` do not hold the idempotency keys they claim. `open_turns`, with
    the user of each, and `claims` belong to the loop; here they are only read, in single steps.

    `beaten(error, tried)`: the worker's row is durable, or why it is not; `tried`: an entry would be taken, too. That
    is tried after `ask`, and where a batch was not taken."""

    def __init__(
        self,
        store: Store,
        sealer: Sealer,
        open_turns: dict[str, str],
        claims: dict[str, ClaimRow],
        *,
        landed: Landed,
        beaten: Beaten,
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._open_turns = open_turns
        self._claims = claims
        self._landed = landed
        self._beaten = beaten
        self._bound = ""
        self._doubtful = False  # the last batch was not taken: that the worker's row still is says little
        self._asked = False
        self._rows: list[Row] = []
        self._baton = threading.Lock()  # held while there is nothing to do: cheaper than a queue
        self._baton.acquire()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    def open(self) -> None:
        """Raises StoreAway."""
        self._store.open()
        self._beat()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread.start()

    def hand(self, rows: list[Row]) -> None:
        self._rows = rows
        self._pass_baton()

    def ask(self) -> None:
        self._asked = True
        self._pass_baton()

    def _pass_baton(self) -> None:
        """Only the loop does: what is not locked has been passed, and not taken yet."""
        if self._baton.locked():
            self._baton.release()

    def stop(self, timeout: float) -> None:
        """Ends the thread and closes the store. Blocking."""
        self._stopping.set()
        self._pass_baton()
        self._thread.join(timeout)

    def _run(self) -> None:
        next_beat = time.monotonic() + BEAT
        while not self._stopping.is_set():
            handed = self._baton.acquire(timeout=max(0.0, next_beat - time.monotonic()))
            if handed and self._rows:
                rows, self._rows = self._rows, []
                self._tell(self._landed, *self._commit(rows))
            if self._asked or time.monotonic() >= next_beat:
                next_beat = time.monotonic() + BEAT
                self._show_life()
        self._store.close(finished=not self._open_turns)

    def _show_life(self) -> None:
        tries, self._asked = self._asked or self._doubtful, False
        try:
            self._beat()
            if tries:
                self._store.probe()
                self._doubtful = False
            self._tell(self._beaten, None, tries)
        except (StoreAway, RecordRefused) as error:
            self._tell(self._beaten, StoreAway(str(error)), tries)

    def _tell(self, callback: Callable[..., None], *results: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *results)
        except RuntimeError:  # the loop is closed: nobody is left to hear of it
            self._stopping.set()

    def _commit(self, rows: list[Row]) -> Outcome:
        try:
            lowest = min([row[0] for row in rows])
            if lowest < self._bound:
                self._beat(lowest)
            denied = self._append(rows)
        except RecordRefused:
            return self._commit_singly(rows)
        except StoreAway as error:
            return 0, set(), error, {}
        except Exception as error:  # noqa: BLE001  # border: a mistake here must not end the thread all turns wait for
            log.exception("the journal's writer failed")
            return 0, set(), StoreAway(repr(error)), {}
        return len(rows), set(), None, denied

    def _append(self, rows: list[Row]) -> Denials:
        try:
            sealed, keys = self._sealer.seal(rows, self._open_turns)
        except UNSEALABLE as error:
            raise RecordRefused(str(error)) from error
        self._doubtful = True
        denied: Denials = {}
        if claims := self._claims_of(rows):
            denied = self._store.claim(sealed, keys, claims)
        else:
            self._store.append(sealed, keys)
        self._doubtful = False
        self._sealer.durable(keys)
        return denied

    def _claims_of(self, rows: list[Row]) -> list[ClaimRow]:
        if not self._claims:
            return []
        found = [self._claims.get(row[0]) for row in rows if row[1] == INTENT]
        return [claim for claim in found if claim is not None]

    def _commit_singly(self, rows: list[Row]) -> Outcome:
        """The poison rule: who brought the record that is refused bears it alone, and with it the end of its turn."""
        refused: set[int] = set()
        denied: Denials = {}
        without_intent: set[str] = set()
        for index, row in enumerate(rows):
            try:
                if row[0] in without_intent:
                    refused.add(index)
                else:
                    denied.update(self._append([row]))
            except RecordRefused as error:
                log.error("the journal's database refuses the %s of turn %s: %s", row[1], row[0], error)
                refused.add(index)
                if row[1] == INTENT:
                    without_intent.add(row[0])
            except StoreAway as error:
                return index, refused, error, denied
        return len(rows), refused, None, denied

    def _beat(self, lowest: str | None = None) -> None:
        """Keeps the promise of `JournalWorker.oldest_open`: it is lowered before an older turn's intent is written."""
        bound = min([f"{int((time.time() - MARGIN) * 1000):012x}", *self._open_turns.copy()])
        if lowest is not None:
            bound = min(bound, lowest)
        self._store.beat(bound)
        self._bound = bound
