"""What a WebSocket keeps of its client and its turns."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Final

import msgspec
import orjson

from access import schemas
from access.generations import Generation
from engine.errors import EngineError, InvalidRequest
from engine.types import Json

log = logging.getLogger(__name__)

# Why a socket was closed, by close code; every other one is the client's.
REASONS: Final = {
    1002: "malformed",
    1007: "malformed",
    1008: "slow",
    1009: "too_big",
    1011: "unresponsive",
    1012: "restart",
    4401: "revoked",
    4403: "forbidden",
    4429: "flood",
}

Ref = str | int | None


class WatchFields(msgspec.Struct):
    session_id: schemas.SessionId
    user: schemas.Text | None = None


class Allowance:
    """A token bucket: so many at once, and as many again every second."""

    __slots__ = ("_at", "_left", "_rate")

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._left = float(rate)
        self._at = time.monotonic()

    def take(self) -> bool:
        now = time.monotonic()
        self._left = min(self._rate, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Shown:
    """A turn whose events a socket is sent, under the client's `ref`. `generation` is there if the socket began it,
    else its id; errors are told with `request_id`, in `language`."""

    __slots__ = ("generation", "language", "ref", "request_id", "task", "turn_id")

    def __init__(
        self, ref: Ref, language: str, *, request_id: str = "", generation: Generation | None = None, turn_id: str = ""
    ) -> None:
        self.ref = ref
        self.language = language
        self.request_id = request_id
        self.generation = generation
        self.turn_id = turn_id
        self.task: asyncio.Task[None] | None = None

    def leave(self) -> None:
        """The socket is sent nothing more of it."""
        if self.task is not None:
            self.task.cancel()


def whose(ref: Ref) -> bytes:
    return b'"ref":%b,' % orjson.dumps(ref) if ref is not None else b""


def ref_of(frame: Json) -> Ref:
    ref = frame.get("ref")
    if ref is None or (isinstance(ref, str) and len(ref) <= 128) or type(ref) is int:
        return ref
    raise InvalidRequest("ref must be a string of at most 128 characters or a whole number.", param="ref")


def ref_in(raw: bytes) -> Ref:
    """Of a frame that the guard refuses, where it can be read all the same: its sender waits for what it began."""
    try:
        frame = json.loads(raw)
        ref = ref_of(frame) if isinstance(frame, dict) else None
        orjson.dumps(ref)
    except (ValueError, TypeError, RecursionError, InvalidRequest):
        return None
    return ref


def reason_of(code: int) -> str:
    return REASONS.get(code, "client")


async def unless_trouble(work: Callable[[], Coroutine[object, object, None]]) -> None:
    """What a socket is shown beside its own turns; it lives without it."""
    try:
        await work()
    except (EngineError, OSError):
        return
    except Exception:
        log.exception("a turn of a watched session could not be shown")
