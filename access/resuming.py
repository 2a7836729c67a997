"""Follows a turn's events from any of them, whichever worker answers it: from memory, the store or the journal.

A worker that has the turn reads its memory. Another one reads what the store has and looks there again and again; it
tells the turn's worker meanwhile that somebody reads. Once the turn is over and the store has no more of it (it lost
it, ten minutes are over, or the worker died), the journal tells the rest."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Final

from access import frames
from access.generations import REMOTE, Generations
from access.shelf import Shelf
from access.turns import Tell, TurnReader
from compliance.journal.reader import TurnRecord
from engine.errors import EngineError, StoreUnavailable, TurnNotFound
from engine.types import Principal

POLL: Final = 0.04  # seconds between two looks into the store,
SLOW_POLL: Final = 0.25  # and where it has had nothing
PATIENCE: Final = 2.0  # for so long
FIRST_QUESTION: Final = 0.5  # seconds of silence before the journal is asked what became of the turn,
QUESTIONS: Final = 3.0  # and from then on
PAUSES: Final = (0.05, 0.2, 0.5)  # seconds before a journal that could not be read is asked again


class Resuming:
    """One a process."""

    def __init__(self, generations: Generations, read_turn: TurnReader, tell: Tell = lambda kind, text: None) -> None:
        self._generations = generations
        self._read_turn = read_turn
        self._tell = tell

    async def follow(
        self, principal: Principal, turn_id: str, first: int, language: str, drop: Callable[[], None] | None
    ) -> AsyncGenerator[list[bytes], None]:
        """The turn's frames from the event `first` on, as they come; an empty list at first: the turn runs. Nothing at
        all: it is over and the reader has had everything. `drop` as in `Generation.reading`. Raises TurnNotFound for
        every turn that is not the caller's own, StoreUnavailable."""
        if not frames.TURN_ID.match(turn_id):
            raise TurnNotFound
        generation = self._generations.find(principal, turn_id)
        if generation is None:
            away = _Away(self._generations.shelf, self._read_turn, principal, turn_id)
            async with aclosing(away.frames(first, language)) as given:
                with self._noticed(turn_id) as notice:
                    async for some in given:
                        notice()
                        yield some
            return
        with generation.reading(drop, first) as reader:
            if not generation.over and first <= len(generation.frames):  # else the journal told the end already
                yield []
            while some := await reader.next():
                yield some

    async def watch(self, owner: Principal, turn_id: str, language: str) -> AsyncGenerator[list[bytes], None]:
        """The same for somebody who looks at another's turn and is none of its readers: the turn does not go on for
        them. `owner` is as whom it runs; whether the watcher may, the caller has asked. Raises as `follow`."""
        away = _Away(self._generations.shelf, self._read_turn, owner, turn_id)
        async with aclosing(away.frames(0, language)) as given:
            async for some in given:
                yield some

    @contextmanager
    def _noticed(self, turn_id: str) -> Iterator[Callable[[], None]]:
        """Tells the worker of the turn every few seconds that somebody reads, and at the end that nobody does."""
        name = os.urandom(6).hex()
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle | None = None

        def tell() -> None:
            nonlocal timer
            self._tell("reader", f"{turn_id} {name} 1")
            timer = loop.call_later(REMOTE / 3, tell)

        def begin() -> None:
            if timer is None:
                tell()

        try:
            yield begin
        finally:
            if timer is not None:
                timer.cancel()
                self._tell("reader", f"{turn_id} {name} 0")


class _Away:
    """A turn that is not in this process."""

    def __init__(self, shelf: Shelf, read_turn: TurnReader, principal: Principal, turn_id: str) -> None:
        self._shelf = shelf
        self._read_turn = read_turn
        self._principal = principal
        self._turn_id = turn_id
        self._next = 0  # the event that is wanted next
        self._owner: Principal | None = None  # as whom the store is read
        self._place = 0  # bytes of the store that were read,
        self._seen = 0  # and frames

    async def frames(self, first: int, language: str) -> AsyncGenerator[list[bytes], None]:
        """As `Resuming.follow`."""
        self._next = first
        loop = asyncio.get_running_loop()
        found, over = await self._stored()
        if not found and over:
            return
        record = await self._first_record() if not found else None
        if record is not None and record.completion is not None:
            if rest := frames.recorded(record, self._next, language):
                yield rest
            return
        yield found
        record = None
        news, ask = loop.time(), FIRST_QUESTION
        while not over:
            silent = loop.time() - news
            if silent >= ask:
                ask = silent + QUESTIONS
                record = await self._ended()
            found, over = await self._stored()
            if found:
                news, ask = loop.time(), FIRST_QUESTION
                yield found
            elif record is not None and not over:
                yield frames.recorded(record, self._next, language)
                return
            else:
                await asyncio.sleep(POLL if self._seen or silent < PATIENCE else SLOW_POLL)

    async def _stored(self) -> tuple[list[bytes], bool]:
        """What the store has of what is wanted, and whether that was the end."""
        name = self._turn_id.encode("ascii")
        try:
            if self._owner is None:
                self._owner = await self._shelf.find(self._principal, self._turn_id)
            if self._owner is None:
                return [], False
            while True:
                kept = await self._shelf.get(self._owner, self._turn_id, self._place)
                if not kept.startswith(b"id: %b.%d\n" % (name, self._seen)):
                    return [], False  # nothing, or the end alone of what the store has lost and will be sent again
                found = frames.split(kept)
                skipped = max(0, self._next - self._seen)
                self._place += len(kept)
                self._seen += len(found)
                self._next = max(self._next, self._seen)
                over = frames.is_last(found[-1])
                if over or skipped < len(found):
                    return found[skipped:], over
        except EngineError:
            return [], False

    async def _first_record(self) -> TurnRecord | None:
        """None: the store has some of it and the journal cannot be read now. Raises as `_record`."""
        for pause in PAUSES:
            try:
                return await self._record()
            except StoreUnavailable:
                if self._seen:
                    return None
                await asyncio.sleep(pause)
        return await self._record()

    async def _record(self) -> TurnRecord:
        """Raises TurnNotFound: the caller has no such turn. StoreUnavailable."""
        record = await self._read_turn(self._principal.tenant_id, self._turn_id)
        if record.intent.subject != self._principal.subject or record.intent.parent_turn:
            raise TurnNotFound
        return record

    async def _ended(self) -> TurnRecord | None:
        """The record of the turn once it is over; None also while nobody can say."""
        try:
            record = await self._record()
        except (StoreUnavailable, TurnNotFound):
            return None
        return record if record.completion is not None else None
