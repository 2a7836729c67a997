"""`Converse`: many turns on one call, each a task of its own, as on `/ws/chat`.

A turn is a generation (`access.generations`): it goes on for its tenant's grace when the call ends without it, and can
be resumed on any edge. Frames have WebSocket's limits."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any, Final

import grpc
import msgspec

from access import cache_control, errors, frames, idempotency_keys, schemas
from access.authentication import with_user
from access.edges.grpc import reading, writing
from access.edges.grpc.calls import Call, slow_reader
from access.edges.grpc.generated import chat_pb2 as pb
from access.edges.sockets import Allowance
from access.generations import Generation
from access.parts import Parts
from engine.errors import (
    EngineError,
    Forbidden,
    InvalidRequest,
    PayloadTooLarge,
    RateLimited,
    TurnNotFound,
    Unauthenticated,
    Unavailable,
)
from engine.types import Principal

MAX_FRAME: Final = 256 * 1024
FRAMES_A_SECOND: Final = 20
TURNS_AT_ONCE: Final = 8
CHECK_EVERY: Final = 0.5  # seconds between two looks at the credential
MAX_REF: Final = 128
JUST_NOW: Final = 0.05  # seconds before a deadline that count as after it: the transport may be the first to notice


class Turn:
    """A turn whose events are sent under `ref`. `generation` is there if this conversation began it, else its id."""

    __slots__ = ("generation", "language", "number", "ref", "task", "turn_id")

    def __init__(self, ref: str, language: str, number: str) -> None:
        self.ref = ref
        self.language = language
        self.number = number  # of its request, which errors are told with
        self.generation: Generation | None = None
        self.turn_id = ""
        self.task: asyncio.Task[None] | None = None


class Conversation:
    """One call."""

    def __init__(self, parts: Parts, call: Call, principal: Principal) -> None:
        self._parts = parts
        self._call = call
        self._principal = principal
        self._turns: dict[object, Turn] = {}  # by ref; a turn leaves by `_forget`
        self._tasks: set[asyncio.Task[None]] = set()
        self._allowance = Allowance(FRAMES_A_SECOND)
        self._writing = asyncio.Lock()  # a call carries one message at a time
        self._ended: asyncio.Future[EngineError | None] = asyncio.get_running_loop().create_future()
        self._draining = False

    async def run(self) -> None:
        """Until the client says no more and its turns are over. Raises EngineError with which the call is to end."""
        reading_on = self._task(self._read())
        checking = self._task(self._keep_checking())
        self._parts.metrics.sockets.inc()
        try:
            failure = await self._ended
            if failure is not None:
                self._stop()
                raise failure
        finally:
            self._parts.metrics.sockets.dec()
            left = self._call.context.time_remaining()
            if left is not None and left < JUST_NOW:
                self._stop()  # its deadline bounds its turns too; who merely leaves may come back
            for task in (reading_on, checking, *self._tasks):
                task.cancel()

    def drain(self) -> None:
        """No turn begins any more; the call ends with the last one."""
        self._draining = True
        self._look_for_end()

    def _task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work)

    def _end(self, failure: EngineError | None) -> None:
        if not self._ended.done():
            self._ended.set_result(failure)

    def _stop(self) -> None:
        """What runs is cancelled."""
        for turn in list(self._turns.values()):
            if turn.generation is not None:
                turn.generation.cancel()

    def _look_for_end(self) -> None:
        if self._draining and not self._tasks:
            self._end(Unavailable("The service restarts; begin another conversation."))

    async def _keep_checking(self) -> None:
        """A credential that is revoked meanwhile ends the conversation."""
        while True:
            await asyncio.sleep(CHECK_EVERY)
            try:
                self._principal = await self._call.identify(self._parts.authenticator)
            except (Unauthenticated, Forbidden) as error:
                self._end(error)
                return
            except EngineError:
                continue  # nobody can say right now: what was allowed stays so

    # Frames ------------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            while (raw := await self._call.next()) is not grpc.aio.EOF:  # type: ignore[attr-defined]  # the stubs lack it
                if not self._allowance.take():
                    raise RateLimited(f"At most {FRAMES_A_SECOND} frames a second.")
                await self._hear(raw)
            while self._tasks:
                await asyncio.wait(self._tasks)
            self._end(None)
        except Exception as error:  # noqa: BLE001  # the border: it ends the call, which says why
            self._end(errors.public(error))

    async def _hear(self, raw: bytes) -> None:
        """Raises PayloadTooLarge."""
        frame = pb.ClientFrame()
        try:
            frame = reading.parsed(raw, pb.ClientFrame, MAX_FRAME)
            if len(frame.ref) > MAX_REF:
                frame.ref = ""
                raise InvalidRequest(f"ref must be at most {MAX_REF} characters.", param="ref")
            match frame.WhichOneof("kind"):
                case "chat":
                    self._chat(frame.chat, frame.ref)
                case "cancel":
                    await self._cancel(frame.cancel, frame.ref)
                case "resume":
                    self._resume(frame.resume, frame.ref)
                case "ping":
                    await self._say(pb.ServerFrame(ref=frame.ref, pong=pb.Pong()))
                case _:
                    raise InvalidRequest("A frame is chat, cancel, resume or ping.")
        except PayloadTooLarge:
            raise
        except EngineError as error:
            language = self._call.language(frame.chat.language if frame.HasField("chat") else None)
            await self._tell(error, frame.ref, os.urandom(16).hex(), language)

    def _chat(self, asked: pb.ChatRequest, ref: str) -> None:
        if self._draining:
            raise Unavailable("The service restarts; begin another conversation.")
        headers = self._call.headers
        body = reading.chat_body(asked)
        wish = cache_control.frame_wish(schemas.fields(body, cache_control.CacheField), headers)
        request = schemas.chat_request(
            body,
            edge="grpc",
            request_id=os.urandom(16).hex(),
            headers=headers,
            cache=wish,
            idempotency=schemas.fields(body, idempotency_keys.KeyField).idempotency_key or "",
        )
        request = msgspec.structs.replace(request, stream=True, resumable=True)
        turn = Turn(ref, self._call.language(request.language), request.request_id)
        key = self._free_key(ref)
        turn.generation = self._parts.generations.begin(
            with_user(self._principal, request.user), request, turn.language
        )
        self._begin(key, turn, self._answer(key, turn, turn.generation))

    def _resume(self, asked: pb.Resume, ref: str) -> None:
        if not frames.TURN_ID.match(asked.turn_id):
            raise TurnNotFound(param="turn_id")
        first = frames.position(asked.turn_id, asked.last_event_id)
        turn = Turn(ref, self._call.language(), os.urandom(16).hex())
        turn.turn_id = asked.turn_id
        key = self._free_key(ref)
        self._begin(key, turn, self._follow(key, turn, first))

    def _free_key(self, ref: str) -> object:
        key: object = ref or object()
        if key in self._turns:
            raise InvalidRequest("A turn with this ref is still running.", param="ref")
        if len(self._turns) >= TURNS_AT_ONCE:
            raise RateLimited(f"At most {TURNS_AT_ONCE} turns may run at once in one conversation.")
        return key

    def _begin(self, key: object, turn: Turn, work: Coroutine[Any, Any, None]) -> None:
        self._turns[key] = turn
        turn.task = self._task(work)
        self._tasks.add(turn.task)
        turn.task.add_done_callback(self._told)

    def _told(self, task: asyncio.Task[None]) -> None:
        """Of a turn whose last frame is written."""
        self._tasks.discard(task)
        self._look_for_end()

    async def _cancel(self, asked: pb.Cancel, ref: str) -> None:
        turn_id = asked.turn_id
        if not asked.HasField("turn_id"):
            turn = self._turns.get(ref)
            if turn is None:
                raise TurnNotFound(param="ref")
            if turn.generation is not None:
                turn.generation.cancel()
                return
            turn_id = turn.turn_id
        if not frames.TURN_ID.match(turn_id):
            raise TurnNotFound(param="turn_id")
        await self._parts.canceller.cancel(self._principal, turn_id)

    # Turns -------------------------------------------------------------------------------------------------------

    async def _answer(self, key: object, turn: Turn, generation: Generation) -> None:
        """Of one that began here."""
        try:
            with generation.reading(self._slow) as reader:
                await generation.opened()
                while given := await reader.next():
                    if reader.over:
                        self._forget(key, turn)  # its ref is free again before the client reads this
                    await self._send(given, turn)
        except Exception as error:  # noqa: BLE001  # the border: everything becomes an event
            self._forget(key, turn)
            await self._tell(errors.public(error), turn.ref, turn.number, turn.language)
        finally:
            self._forget(key, turn)

    async def _follow(self, key: object, turn: Turn, first: int) -> None:
        """Of one that began before, here or elsewhere."""
        following = self._parts.resuming.follow(self._principal, turn.turn_id, first, turn.language, self._slow)
        missing = False
        try:
            async with aclosing(following):
                async for given in following:
                    missing = True
                    if given and frames.is_last(given[-1]):
                        self._forget(key, turn)
                    await self._send(given, turn)
            if not missing:
                self._forget(key, turn)
                await self._say(pb.ServerFrame(ref=turn.ref, over=pb.Over(turn_id=turn.turn_id)))
        except Exception as error:  # noqa: BLE001  # the border: everything becomes an event
            self._forget(key, turn)
            await self._tell(errors.public(error), turn.ref, turn.number, turn.language)
        finally:
            self._forget(key, turn)

    def _forget(self, key: object, turn: Turn) -> None:
        """Does nothing a second time, when the ref may be another turn's already."""
        if self._turns.get(key) is turn:
            del self._turns[key]

    def _slow(self) -> None:
        """It does not read what it is sent: it may come back."""
        if not self._ended.done():
            self._ended.set_exception(slow_reader())

    # Sending -----------------------------------------------------------------------------------------------------

    async def _send(self, given: list[bytes], turn: Turn) -> None:
        for kept in given:
            await self._write(writing.frame(kept, turn.ref))

    async def _say(self, frame: pb.ServerFrame) -> None:
        await self._write(frame.SerializeToString())

    async def _tell(self, error: EngineError, ref: str, number: str, language: str) -> None:
        body = errors.event(error, number, language)
        body["param"], body["retry_after"] = error.param, error.retry_after
        await self._say(pb.ServerFrame(ref=ref, error=writing.error(body)))

    async def _write(self, message: bytes) -> None:
        try:
            if not self._writing.locked() and self._call.written(message):
                return
            async with self._writing:
                await self._call.context.write(message)
        except grpc.aio.InternalError:
            return  # nobody is there to hear it; the call is told that it is over
