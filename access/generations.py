"""Streamed turns that run by themselves: whoever reads one may leave and come back, here or at another worker.

A generation is a task of its own. It encodes every event once (`access.frames`); readers follow from any of them, and
what they have not read yet costs nothing more. Once no reader is left it goes on for its tenant's grace, then it is
cancelled. All running generations' new events go to the store together, every `FLUSH` seconds."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Final

import orjson

from access import errors, events
from access.frames import frame
from access.readers import Reader
from access.shelf import NoShelf, Shelf
from access.turns import RunningTurns
from engine.bursts import deltas_of
from engine.engine import Engine
from engine.errors import EngineError, Overloaded, UpstreamError
from engine.types import ChatRequest, Done, Principal, Source, Start

log = logging.getLogger(__name__)
FLUSH: Final = 0.07
RETRY: Final = 1.0  # seconds before events are offered again to a store that did not take them,
KEPT: Final = 600.0  # and how long after the end
MAX_BYTES: Final = 16 << 20  # of one turn's events: a longer answer is cut off
MAX_TOTAL: Final = 256 << 20  # of all that are in memory: then no more are begun
STALLED: Final = 30.0  # seconds a reader may take for what it was given
REMOTE: Final = 15.0  # seconds for which a reader at another worker counts after it was last heard of
LONG: Final = 60.0  # seconds after which a turn's events are due for a new lease of life

Begun = Callable[[Principal, Start], None]  # told of every turn that has begun


class Generation:
    """One turn and its events so far. `id` is empty and `start` None until it has begun."""

    __slots__ = (
        "_began", "_chat", "_counted", "_ended", "_flying", "_grace", "_language", "_loop", "_marked", "_name",
        "_owners", "_place", "_readers", "_remote", "_repeats", "_running", "_shed", "_source", "_stored", "_timer",
        "_waiting", "error", "frames", "id", "over", "principal", "pushed", "size", "start", "task",
    )  # fmt: skip

    def __init__(
        self, owners: Generations, principal: Principal, chat: ChatRequest, language: str, grace: float
    ) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._owners = owners
        self._chat = chat
        self._language = language
        self._grace = grace
        self._name = b""
        self._source: Source = "model"
        self._running = owners.running.running(principal, chat)
        self._readers: list[Reader] = []
        self._remote: dict[str, float] = {}
        self._waiting: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._began = loop.time()
        self._ended = 0.0
        self._counted = 0  # bytes that all of the process know of
        self._place = 0  # bytes that are in the store,
        self._stored = 0  # which are so many frames
        self._flying = False
        self._marked = False
        self._shed = False
        self._repeats = False  # a recorded answer: readers come back to the turn that gave it
        self.pushed: Reader | None = None  # which has all events and waits: it is given the next one
        self.principal = principal
        self.id = ""
        self.start: Start | None = None
        self.frames: list[bytes] = []
        self.size = 0
        self.over = False
        self.error: EngineError | None = None  # where it ended before it began
        self.task = loop.create_task(self._run())

    # The turn ----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            with self._running as running:
                async with aclosing(self._owners.engine.bursts(self.principal, self._chat)) as turn:
                    async for event in turn:
                        for delta in deltas_of(event):
                            running.pieces += 1
                            self._add(b"delta", orjson.dumps(events.delta(delta)))
                            if self.size > MAX_BYTES:
                                raise UpstreamError("The answer is longer than can be sent.")
                        if type(event) is Start:
                            running.begun(event)
                            self._open(event)
                        elif type(event) is Done:
                            self._end(b"done", orjson.dumps(events.done(event, self._source)))
        except Exception as error:  # noqa: BLE001  # the border: everything becomes an event
            self._fail(errors.public(error))
        finally:
            if not self.over:  # cancelled from outside, where nobody can be told more
                self._fail(EngineError())

    def _open(self, start: Start) -> None:
        self.id, self.start, self._source = start.id, start, start.source
        self._name = start.id.encode("ascii")
        self._repeats = start.replayed
        if not self._repeats:
            self._owners.opened(self, start)
        self._add(b"start", orjson.dumps(events.start(start)))

    def _fail(self, error: EngineError) -> None:
        if self.over:
            return
        if self.start is not None:
            said = errors.event(error, self._chat.request_id, self._language)
            self._end(b"error", orjson.dumps(said))
            return
        self.over = True
        self.error = error
        self._stop_timer()
        self.wake()
        self._owners.ended(self)

    def _end(self, name: bytes, data: bytes) -> None:
        self.over = True
        self._ended = self._loop.time()
        self._stop_timer()
        self._add(name, data)
        self._owners.ended(self)

    def _add(self, name: bytes, data: bytes) -> None:
        frames = self.frames
        made = frame(self._name, len(frames), name, data)
        frames.append(made)
        self.size += len(made)
        if not self._marked and not self._repeats:
            self._marked = True
            self._owners.mark(self)
        if self.pushed is not None and len(self._waiting) == 1 and not self.over:
            self.pushed.push(made)
        elif self._waiting:
            self.wake()

    def wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.done():
                each.set_result(None)

    def cancel(self) -> None:
        """Stops the turn and its call upstream; readers are told. Safe to call twice."""
        self._running.cancel()

    # Its readers -------------------------------------------------------------------------------------------------

    async def opened(self) -> Start:
        """Raises the EngineError with which it ended before it began."""
        while self.start is None and self.error is None:
            await self.news()
        if self.start is None:
            assert self.error is not None
            raise self.error
        return self.start

    @contextmanager
    def reading(self, drop: Callable[[], None] | None, first: int = 0) -> Iterator[Reader]:
        """A reader from the event `first` on. `drop` is called when it stalls; it is to leave then. None: its server
        ends who reads too slowly."""
        reader = Reader(self, first, drop)
        self._readers.append(reader)
        self._stop_timer()
        try:
            yield reader
        finally:
            self._readers.remove(reader)
            if not self._readers:
                self._owners.left(self)
                self._wait_for_reader(self._grace)

    def heard(self, reader: str, there: bool) -> None:
        """A reader at another worker is there, or has left."""
        if there:
            self._remote[reader] = self._loop.time() + REMOTE
        elif self._remote.pop(reader, None) is not None and not self._readers:
            self._wait_for_reader(self._grace)

    def _wait_for_reader(self, seconds: float) -> None:
        if self.over:
            return
        self._stop_timer()
        if seconds <= 0 and not self._remote:
            self.cancel()
        else:
            self._timer = self._loop.call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        now = self._loop.time()
        last = max(self._remote.values(), default=now)
        self._remote = {reader: until for reader, until in self._remote.items() if until > now}
        if self._remote:
            self._wait_for_reader(last - now)
        elif last < now and (rest := last - REMOTE + self._grace - now) > 0.0:
            self._wait_for_reader(rest)  # its worker died; it may come back like one who left
        else:
            self.cancel()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def readers(self) -> list[Reader]:
        return self._readers

    def news(self) -> asyncio.Future[None]:
        """Done when there is another event, or the end."""
        waiting = self._loop.create_future()
        self._waiting.append(waiting)
        return waiting

    # The store ---------------------------------------------------------------------------------------------------

    def flush(self, shelf: Shelf) -> None:
        """Offers what the store does not have yet. One offer at a time: the next one waits for its answer."""
        self._marked = False
        if self._flying or self._stored == len(self.frames):
            return
        self._owners.total += self.size - self._counted
        self._counted = self.size
        count = len(self.frames)
        said = b"".join(self.frames[self._stored :])
        self._flying = True
        shelf.put(self.principal, self.id, self._place, said, lambda whole: self._landed(whole, count, len(said)))
        if self.over and self._place and self._ended - self._began > LONG:
            shelf.prolong(self.principal, self.id)

    def _landed(self, whole: bool, count: int, size: int) -> None:
        self._flying = False
        if whole:
            self._stored, self._place = count, self._place + size
        else:
            self._stored = self._place = 0  # whatever is there: next time all is sent in its place
        if self._stored == len(self.frames):
            if self.over:
                self._owners.kept(self)
        elif not self._shed:
            self._marked = True
            if whole:
                self._owners.mark(self)
            else:  # beside the others, whose stores may be better
                self._loop.call_later(RETRY, self._owners.mark, self)

    def shed(self) -> None:
        """The store is offered no more of it."""
        self._shed = True

    @property
    def counted(self) -> int:
        return self._counted

    @property
    def hopeless(self) -> bool:
        """It ended so long ago that the store need not have it any more."""
        return self.over and self._loop.time() - self._ended > KEPT


class Generations:
    """All of a process. `grace`: seconds a tenant's turns go on without a reader."""

    def __init__(
        self,
        engine: Engine,
        running: RunningTurns,
        *,
        grace: Callable[[int], float],
        shelf: Shelf | None = None,
        begun: Begun = lambda principal, start: None,
    ) -> None:
        self.engine = engine
        self.running = running
        self.shelf: Shelf = shelf or NoShelf()
        self.total = 0  # bytes of all events in memory, as far as they were seen by a flush
        self._grace = grace
        self._begun = begun
        self._alive: set[Generation] = set()
        self._by_id: dict[str, Generation] = {}
        self._new: dict[Generation, None] = {}  # with events the store does not have
        self._timer: asyncio.TimerHandle | None = None
        self._watch: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Those that run, are read, or still have to go to the store."""
        return len(self._alive)

    def begin(self, principal: Principal, chat: ChatRequest, language: str) -> Generation:
        """Raises Overloaded: too much is in memory already."""
        if self.total >= MAX_TOTAL:
            self._make_room()
            if self.total >= MAX_TOTAL:
                raise Overloaded
        generation = Generation(self, principal, chat, language, self._grace(principal.tenant_id))
        self._alive.add(generation)
        if self._watch is None:
            self._watch = asyncio.get_running_loop().call_later(STALLED / 4, self._look)
        return generation

    def find(self, principal: Principal, turn_id: str) -> Generation | None:
        """The caller's own, if it is here."""
        generation = self._by_id.get(turn_id)
        if generation is None or not _owns(principal, generation.principal):
            return None
        return generation

    def heard(self, text: str) -> None:
        """The bus's word `reader`: turn, reader, `1` there or `0` gone."""
        turn_id, _, rest = text.partition(" ")
        generation = self._by_id.get(turn_id)
        if generation is not None:
            reader, _, there = rest.partition(" ")
            generation.heard(reader, there == "1")

    async def stop(self) -> None:
        """Cancels what runs and waits until it has ended and the store was offered its end."""
        running = [generation for generation in self._alive if not generation.over]
        for generation in running:
            generation.cancel()
        if running:
            await asyncio.wait([generation.task for generation in running])
        for timer in (self._timer, self._watch):
            if timer is not None:
                timer.cancel()
        self._flush()

    # For generations ---------------------------------------------------------------------------------------------

    def opened(self, generation: Generation, start: Start) -> None:
        self._by_id[start.id] = generation
        self._begun(generation.principal, start)

    def mark(self, generation: Generation) -> None:
        """It has something for the store."""
        self._new[generation] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH, self._flush)

    def ended(self, generation: Generation) -> None:
        if self._by_id.get(generation.id) is not generation and not generation.readers:
            self._forget(generation)

    def kept(self, generation: Generation) -> None:
        """It is over, and the store has all of it."""
        self._by_id.pop(generation.id, None)
        if not generation.readers:
            self._forget(generation)

    def left(self, generation: Generation) -> None:
        """It has no reader any more."""
        if generation.over and self._by_id.get(generation.id) is not generation:
            self._forget(generation)

    def _make_room(self) -> None:
        """What is over waits for a store that is away: let go of what nobody reads. The journal has it."""
        for generation in [each for each in self._by_id.values() if each.over and not each.readers]:
            generation.shed()
            self._new.pop(generation, None)
            self.kept(generation)

    def _forget(self, generation: Generation) -> None:
        if generation in self._alive:
            self._alive.remove(generation)
            self.total -= generation.counted

    def _flush(self) -> None:
        self._timer = None
        new, self._new = self._new, {}
        for generation in new:
            if generation.hopeless:
                self.kept(generation)
            else:
                generation.flush(self.shelf)

    def _look(self) -> None:
        """Drops readers that stall: what they have not read is held for them in memory."""
        self._watch = None
        late = time.monotonic() - STALLED
        for generation in list(self._alive):
            for reader in list(generation.readers):
                if reader.drop is not None and 0.0 < reader.busy < late:
                    reader.drop()
        if self._alive:
            self._watch = asyncio.get_running_loop().call_later(STALLED / 4, self._look)


def _owns(caller: Principal, owner: Principal) -> bool:
    return caller.tenant_id == owner.tenant_id and caller.subject == owner.subject
