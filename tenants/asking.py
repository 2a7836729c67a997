"""Questions to all workers at once, over the bus: each answers of what it has in memory, and costs nothing until it is
asked. Best effort, as the bus is: who asks waits for those that are known to be there, or for a while."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from itertools import count
from typing import Any, Final

import msgspec

from tenants.bus import Bus

log = logging.getLogger(__name__)

PATIENCE: Final = 0.6  # seconds
MOST: Final = 512 * 1024  # bytes of one worker's answer

Answerer = Callable[[str], Any]


class Question(msgspec.Struct, frozen=True):
    number: int
    asker: str
    kind: str
    text: str


class Answer(msgspec.Struct, frozen=True):
    number: int
    worker: str
    said: msgspec.Raw


class Asking:
    """One a process."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._answerers: dict[str, Answerer] = {}
        self._numbers = count(1)
        self._waiting: dict[int, dict[str, msgspec.Raw]] = {}
        self._news = asyncio.Event()
        bus.on("ask", self._asked)
        bus.on("answer", self._answered)

    def answers(self, kind: str, answerer: Answerer) -> None:
        """`answerer` is given the question's text and returns what JSON can say; on the event loop, at once."""
        self._answerers[kind] = answerer

    async def ask(self, kind: str, text: str = "", *, workers: int = 1, patience: float = PATIENCE) -> dict[str, Any]:
        """What each worker says, by its name. `workers`: after so many answers nobody is waited for any more."""
        number = next(self._numbers)
        heard = self._waiting[number] = {self._bus.worker: self._said(kind, text)}
        loop = asyncio.get_running_loop()
        end = loop.time() + patience
        try:
            if workers > 1:
                self._bus.tell("ask", msgspec.json.encode(Question(number, self._bus.worker, kind, text)).decode())
            while len(heard) < workers and (left := end - loop.time()) > 0:
                self._news.clear()
                try:
                    await asyncio.wait_for(self._news.wait(), left)
                except TimeoutError:
                    break
            return {worker: msgspec.json.decode(said) for worker, said in heard.items()}
        finally:
            del self._waiting[number]

    def _said(self, kind: str, text: str) -> msgspec.Raw:
        answerer = self._answerers.get(kind)
        return msgspec.Raw(msgspec.json.encode(answerer(text) if answerer is not None else None))

    def _asked(self, text: str) -> None:
        question = msgspec.json.decode(text, type=Question)
        if question.asker == self._bus.worker:
            return
        said = self._said(question.kind, question.text)
        if len(bytes(said)) > MOST:
            log.warning("an answer to %s is too long to be told", question.kind)
            said = msgspec.Raw(b"null")
        answer = Answer(question.number, self._bus.worker, said)
        self._bus.tell("answer", msgspec.json.encode(answer).decode(), question.asker)

    def _answered(self, text: str) -> None:
        answer = msgspec.json.decode(text, type=Answer)
        if (heard := self._waiting.get(answer.number)) is not None:
            heard[answer.worker] = msgspec.Raw(bytes(answer.said))
            self._news.set()
