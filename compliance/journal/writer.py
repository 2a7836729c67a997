"""Group commit: many turns, few fsyncs. One writer thread, at most one batch in flight.

`intent` and `completion` only append; the first of a tick of the event loop schedules a kick, which hands everything
that waits to the thread. The thread commits it as one statement and comes back with one `call_soon_threadsafe`, which
resolves the futures and hands over what gathered meanwhile. So the batch grows with the load, by itself (P. Helland et
al., "Group commit timers and high volume transaction systems", 1987). A commit's price hardly depends on its rows, so
while many turns are open the next one waits a little for more of them (PostgreSQL's commit_delay, commit_siblings)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from compliance.journal.claims import Denials
from compliance.journal.committing import CommitThread
from compliance.journal.records import (
    COMPLETION,
    ENCODING_ERRORS,
    INTENT,
    SESSION,
    ClaimRow,
    Row,
    partial_row,
    unrecordable,
)
from compliance.journal.store import Store, StoreAway
from compliance.sealing.sealer import Sealer
from compliance.sealing.splitting import completion_row, intent_row, session_row
from engine.entries import Claim, Completion, Intent, Partial, SessionEntry
from engine.errors import AuditUnavailable, EngineError, InvalidRequest

log = logging.getLogger(__name__)

CUT_ROWS: Final = 256
CUT_BYTES: Final = 4 << 20  # keeps a transaction far below 50 ms
PACE: Final = 0.002  # seconds from one commit to the next while SIBLINGS turns or more are open
SIBLINGS: Final = 8
TICK: Final = 0.1  # seconds between two looks at the deadlines
PAUSE: Final = 0.1  # seconds before a failed batch is tried again
SWEEP: Final = 5.0


Observe = Callable[[str, float], None]  # told of every commit: "durable" or "failed", and how long it took


class _Entry(NamedTuple):
    row: Row
    future: asyncio.Future[None]
    since: float


class Waiting(NamedTuple):
    """What is not in the database yet: entries and bytes of bodies in memory, bytes in the spool."""

    entries: int
    bytes: int
    spooled: int


class JournalWriter:
    """`engine.ports.Journal` over a `Store`; what was said goes there sealed. Belongs to the event loop that starts it.

    An entry that is not durable after `deadline` seconds fails with AuditUnavailable. An intent that still waits then
    is given up, so the turn leaves no trace, and so is a change of a session; one that is already with the database may
    yet be written, and the end the engine records for its turn follows it. The end of a turn with a durable intent is
    never given up: it waits until the database is back. The end of a turn whose intent was given up is not written. So
    the balance always holds.

    What waits is bounded: `max_waiting` entries or `max_bytes` of bodies, then intents fail at once; ends are as many
    as there are open turns. A tenant whose key is not at hand gets AuditUnavailable: nothing is stored in the clear."""

    def __init__(
        self,
        store: Store,
        sealer: Sealer,
        *,
        deadline: float = 2.0,
        late: float = 0.25,
        max_waiting: int = 10_000,
        max_bytes: int = 64 << 20,
    ) -> None:
        self.observe: Observe = lambda outcome, seconds: None
        self._store = store
        self._sealer = sealer
        self._deadline = deadline - TICK
        self._late = late
        self._max_waiting = max_waiting
        self._max_bytes = max_bytes
        self._waiting: list[_Entry] = []
        self._flight: list[_Entry] = []
        self._flying_since = -PACE
        self._bytes = 0
        self._open: dict[str, str] = {}  # turns and their users
        self._claims: dict[str, ClaimRow] = {}  # of intents that are not durable yet
        self._unrecordable: set[str] = set()
        self._broken = True
        self._kicked = False
        self._watch: asyncio.TimerHandle | None = None
        self._taking: asyncio.Future[bool] | None = None  # until it is known whether an entry would be taken
        self._stopping = False
        self._thread = CommitThread(store, sealer, self._open, self._claims, landed=self._landed, beaten=self._beaten)
        self._sweeper: asyncio.Task[None] | None = None

    # For wiring --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Ends what a dead worker left open, then takes entries. Raises AuditUnavailable: the database is away."""
        self._loop = asyncio.get_running_loop()
        try:
            await asyncio.to_thread(self._thread.open)
        except StoreAway as error:
            self._store.close(finished=False)
            raise AuditUnavailable(f"The audit journal cannot be opened: {error}") from error
        self._broken = False
        self._thread.start(self._loop)
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self, timeout: float = 5.0) -> None:
        """Commits what waits, for at most `timeout` seconds, and gives the slot back. What stays open is ended as
        aborted by the next worker."""
        if self._sweeper is None:
            return
        self._sweeper.cancel()
        until = self._loop.time() + timeout
        while (self._waiting or self._flight) and self._loop.time() < until:
            await asyncio.sleep(0.01)
        self._stopping = True
        await asyncio.to_thread(self._thread.stop, timeout)
        self._broken = True
        self._tell_who_asks(False)
        for entry in [*self._flight, *self._waiting]:
            _fail(entry.future, AuditUnavailable())

    # engine.ports.Journal ----------------------------------------------------------------------------------------

    @property
    def healthy(self) -> bool:
        return not self._broken and (not self._flight or self._loop.time() - self._flying_since <= self._late)

    async def takes(self) -> bool:
        """Tries it: the worker's own row is written, durably, then an entry, which is taken back. As long as the
        database takes to say so; whoever asks is to lose patience."""
        if self._sweeper is None or self._stopping:
            return False
        if self._taking is None:
            self._taking = self._loop.create_future()
            self._thread.ask()
        return await asyncio.shield(self._taking) and self.healthy

    @property
    def waiting(self) -> Waiting:
        return Waiting(len(self._waiting) + len(self._flight), self._bytes, self._store.backlog.spooled)

    def intent(self, intent: Intent, claim: Claim | None = None) -> asyncio.Future[None]:
        future: asyncio.Future[None] = self._loop.create_future()
        if not self._takes(intent.tenant_id):
            return _fail(future, AuditUnavailable())
        try:
            row = intent_row(intent, self._store.worker)
        except ENCODING_ERRORS:
            return _fail(future, _refusal())
        self._open[intent.turn_id] = intent.user
        if claim is not None:
            self._claims[intent.turn_id] = ClaimRow(
                intent.turn_id, intent.tenant_id, claim.digest, claim.fingerprint, claim.after, intent.at
            )
        return self._put(row, future)

    def completion(self, completion: Completion) -> asyncio.Future[None]:
        future: asyncio.Future[None] = self._loop.create_future()
        turn_id = completion.turn_id
        if self._stopping:
            return _fail(future, AuditUnavailable())
        if turn_id not in self._open:  # its intent was refused or given up: there is nothing to end
            if completion.state == "completed":
                return _fail(future, AuditUnavailable())
            future.set_result(None)
            return future
        try:
            row = completion_row(completion, self._store.worker)
        except ENCODING_ERRORS:
            self._stand_in(turn_id, completion.tenant_id)
            return _fail(future, _refusal())
        return self._put(row, future)

    def partial(self, partial: Partial) -> None:
        """Left out where the turn has no intent here, or where what waits must be kept for intents and ends."""
        crowded = 2 * len(self._waiting) >= self._max_waiting or 2 * self._bytes >= self._max_bytes
        if self._stopping or crowded or partial.turn_id not in self._open:
            return
        try:
            row = partial_row(partial, self._store.worker)
        except ENCODING_ERRORS:
            return
        self._put(row, self._loop.create_future())

    # engine.ports.SessionJournal -----------------------------------------------------------------------------------

    def session(self, entry: SessionEntry) -> asyncio.Future[None]:
        """It has no end, so no turn is open for it. Given up like an intent."""
        future: asyncio.Future[None] = self._loop.create_future()
        if not self._takes(entry.tenant_id):
            return _fail(future, AuditUnavailable())
        try:
            row = session_row(entry, self._store.worker)
        except ENCODING_ERRORS:
            return _fail(future, _refusal())
        return self._put(row, future)

    # On the event loop -------------------------------------------------------------------------------------------

    def _takes(self, tenant_id: int) -> bool:
        """Whether there is room for what need not be recorded yet, and a key to seal it with."""
        crowded = len(self._waiting) >= self._max_waiting or self._bytes >= self._max_bytes
        return not self._stopping and not crowded and self._sealer.knows(tenant_id)

    def _put(self, row: Row, future: asyncio.Future[None]) -> asyncio.Future[None]:
        self._waiting.append(_Entry(row, future, self._loop.time()))
        self._bytes += len(row[-1])
        if self._watch is None:  # also where a retry is pending: it may hang
            self._watch = self._loop.call_later(TICK, self._tick)
        if not self._kicked and not self._flight:
            self._kick_soon()
        return future

    def _kick_soon(self) -> None:
        self._kicked = True
        rest = self._flying_since + PACE - self._loop.time() if len(self._open) >= SIBLINGS else 0.0
        if rest > 0.0:
            self._loop.call_later(rest, self._kick)
        else:
            self._loop.call_soon(self._kick)

    def _kick(self) -> None:
        self._kicked = False
        if self._flight or not self._waiting or self._stopping:
            return
        cut = self._cut()
        self._flight = self._waiting[:cut]
        del self._waiting[:cut]
        self._flying_since = self._loop.time()
        self._thread.hand([entry.row for entry in self._flight])

    def _cut(self) -> int:
        if self._bytes <= CUT_BYTES:
            return CUT_ROWS
        size = 0
        for count, entry in enumerate(self._waiting[:CUT_ROWS]):
            size += len(entry.row[-1])
            if size > CUT_BYTES:
                return count or 1
        return CUT_ROWS

    def _landed(self, done: int, refused: set[int], error: StoreAway | None, denied: Denials) -> None:
        """The first `done` of the batch in flight are durable, or refused; the others will be tried again. Intents in
        `denied` are durable without the key they claim: their turns go no further, and are ended."""
        batch, self._flight = self._flight, []
        self.observe("failed" if error else "durable", self._loop.time() - self._flying_since)
        for index, (row, future, _) in enumerate(batch[:done]):
            self._bytes -= len(row[-1])
            if row[1] == INTENT:
                self._claims.pop(row[0], None)
            if index in refused:
                self._refused(row, future)
                continue
            if row[1] == COMPLETION:
                self._open.pop(row[0], None)
                self._unrecordable.discard(row[0])
            if row[0] in denied and row[1] == INTENT:
                _fail(future, denied[row[0]]())
            elif not future.done():
                future.set_result(None)
        if error is None:
            self._recovered()
            if self._waiting:
                self._kick_soon()
            return
        self._waiting[:0] = batch[done:]
        self._lost(error)
        self._give_up(self._loop.time() - self._deadline)
        self._kicked = True
        self._loop.call_later(PAUSE, self._kick)

    def _refused(self, row: Row, future: asyncio.Future[None]) -> None:
        turn_id, kind, _, tenant_id, *_ = row
        _fail(future, _refusal())
        if kind == INTENT:
            self._open.pop(turn_id, None)
            self._withdraw({turn_id}, _refusal)
        elif kind == COMPLETION:
            self._stand_in(turn_id, tenant_id)

    def _give_up(self, limit: float) -> None:
        """Fails what waits since before `limit`. Intents and changes of sessions leave the queue, the ends of durable
        turns stay."""
        begun = (INTENT, SESSION)
        overdue = {entry.row[0] for entry in self._waiting if entry.since <= limit and entry.row[1] in begun}
        for entry in self._waiting:
            if entry.since <= limit:
                _fail(entry.future, AuditUnavailable())
        for turn_id in overdue:
            self._open.pop(turn_id, None)
            self._claims.pop(turn_id, None)
        if overdue:
            self._withdraw(overdue, AuditUnavailable)

    def _withdraw(self, turn_ids: set[str], why: Callable[[], EngineError]) -> None:
        """Takes everything about turns that will have no intent out of the queue."""
        kept: list[_Entry] = []
        for entry in self._waiting:
            if entry.row[0] in turn_ids:
                self._bytes -= len(entry.row[-1])
                _fail(entry.future, why())
            else:
                kept.append(entry)
        self._waiting = kept

    def _tick(self) -> None:
        limit = self._loop.time() - self._deadline
        for entry in self._flight:
            if entry.since <= limit:
                _fail(entry.future, AuditUnavailable())
        if self._waiting and self._waiting[0].since <= limit:
            self._give_up(limit)
        self._watch = self._loop.call_later(TICK, self._tick) if self._waiting or self._flight else None

    def _beaten(self, error: StoreAway | None, tried: bool) -> None:
        if tried or error is not None:
            self._tell_who_asks(error is None)
        if error is not None:
            self._lost(error)
        elif not self._waiting:
            self._recovered()

    def _tell_who_asks(self, good: bool) -> None:
        if self._taking is not None:
            self._taking.set_result(good)
            self._taking = None

    def _lost(self, error: StoreAway) -> None:
        if not self._broken:
            log.error("the audit journal cannot commit: %s", error)
        self._broken = True

    def _recovered(self) -> None:
        if self._broken:
            log.warning("the audit journal commits again")
        self._broken = False

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            try:
                await asyncio.to_thread(self._store.sweep)
            except StoreAway as error:
                log.error("the open turns of dead journal workers could not be ended: %s", error)

    def _stand_in(self, turn_id: str, tenant_id: int) -> None:
        """Ends a turn in place of a completion that cannot be stored; if that cannot be either, it stays open."""
        if turn_id in self._open and turn_id not in self._unrecordable:
            self._unrecordable.add(turn_id)
            row = unrecordable(turn_id, tenant_id, time.time(), self._store.worker)
            self._put(row, self._loop.create_future())


def _fail(future: asyncio.Future[None], error: EngineError) -> asyncio.Future[None]:
    """Failed, but silent when nobody ever looks."""
    if not future.done():
        future.set_exception(error)
        future.exception()
    return future


def _refusal() -> InvalidRequest:
    return InvalidRequest("The request holds something the audit journal cannot record.")
