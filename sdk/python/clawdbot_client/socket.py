"""`/ws/chat`: many turns on one socket, which is made again when it is lost (extra `websocket`)."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from clawdbot_client import events
from clawdbot_client.asking import Asked, body
from clawdbot_client.backoff import Backoff
from clawdbot_client.errors import ClawdbotError, Disconnected, answered
from clawdbot_client.events import Event, Json
from clawdbot_client.turns import Turn, Turns

REFUSED = {4401: "unauthenticated", 4403: "forbidden", 4429: "rate_limited", 1009: "payload_too_large"}


class Socket:
    """async with Socket("http://127.0.0.1:8000", key) as socket:
        async for event in socket.chat("Hello"): ...

    Turns may run side by side. When the connection is lost it is made again, and every turn goes on after the last
    event that was heard. Raises ClawdbotError; Disconnected once it could not be had again."""

    def __init__(self, base_url: str, credential: str) -> None:
        self._url = f"ws{base_url.rstrip('/').removeprefix('http')}/ws/chat"
        self._credential = credential
        self._turns = Turns(self._cancel)
        self._connection: ClientConnection | None = None
        self._reading: asyncio.Task[None] | None = None
        self._lost: ClawdbotError | None = None
        self._again_soon: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        self._connection = await self._connect()
        self._reading = asyncio.get_running_loop().create_task(self._keep_reading(self._connection))

    async def close(self) -> None:
        """What runs goes on for a while on the other side."""
        for task in self._again_soon:
            task.cancel()
        if self._reading is not None:
            self._reading.cancel()
            with suppress(asyncio.CancelledError):
                await self._reading
        if self._connection is not None:
            await self._connection.close()
        self._lost = Disconnected("The socket was closed.")
        self._turns.fail(self._lost)

    async def chat(self, asked: Asked, **fields: Any) -> AsyncGenerator[Event, None]:
        """`Start`, any number of `Delta`, `Done`. Whoever stops to read early cancels the turn."""
        if self._lost is not None:
            raise self._lost
        given = {
            **fields,
            "idempotency_key": fields.get("idempotency_key") or uuid.uuid4().hex,
        }  # it may be asked twice
        turn = self._turns.new({"type": "chat", **body(asked, given)})
        await self._ask(turn)
        async for event in self._turns.read(turn):
            yield event

    async def resume(self, turn_id: str, last_event_id: str | None = None) -> AsyncGenerator[Event, None]:
        """The events of a turn after the given one, then the live ones. Nothing: that was its last."""
        if self._lost is not None:
            raise self._lost
        turn = self._turns.new({})
        turn.turn_id, turn.event_id = turn_id, last_event_id
        await self._ask(turn)
        async for event in self._turns.read(turn):
            yield event

    async def cancel(self, turn_id: str) -> None:
        """Stops a turn, wherever it runs."""
        await self._say({"type": "cancel", "turn_id": turn_id})

    # The connection ----------------------------------------------------------------------------------------------

    async def _connect(self) -> ClientConnection:
        headers = {"Authorization": f"Bearer {self._credential}"}
        try:
            return await connect(self._url, additional_headers=headers, max_size=None, open_timeout=10)
        except InvalidStatus as refused:
            response = refused.response
            try:
                said = json.loads(response.body or b"null")
            except ValueError:
                said = None
            headers = {name.lower(): value for name, value in response.headers.raw_items()}
            raise answered(response.status_code, said, headers) from None
        except (OSError, WebSocketException) as error:
            raise Disconnected(str(error) or type(error).__name__) from error

    async def _keep_reading(self, connection: ClientConnection) -> None:
        backoff = Backoff()
        try:
            while True:
                try:
                    async for text in connection:
                        backoff.heard()
                        self._hear(json.loads(text))
                    code = connection.close_code
                except ConnectionClosed as closed:
                    code = closed.rcvd.code if closed.rcvd else None
                if code in REFUSED:
                    raise ClawdbotError(REFUSED[code], "The service closed the socket.", retryable=code == 4429)
                connection = self._connection = await self._again(backoff)
                for turn in self._turns.open:
                    if turn.asked_on is not connection:
                        await self._ask(turn)
        except ClawdbotError as error:
            self._lost = error
            self._turns.fail(error)

    async def _again(self, backoff: Backoff) -> ClientConnection:
        while await backoff.pause():
            try:
                return await self._connect()
            except ClawdbotError as error:
                if not isinstance(error, Disconnected) and not error.retryable:
                    raise
        raise Disconnected("The connection was lost and could not be made again.")

    async def _ask(self, turn: Turn) -> None:
        turn.asked_on = self._connection
        turn.began_on = turn.began_on or self._connection
        await self._say(_resumption(turn) if turn.turn_id is not None else {**turn.asked, "ref": turn.ref})

    async def _say(self, frame: Json) -> None:
        """What is lost with a connection is said again on the next one."""
        assert self._connection is not None, "open it first"
        with suppress(ConnectionClosed):
            await self._connection.send(json.dumps(frame))

    async def _cancel(self, turn: Turn) -> None:
        if self._lost is None:
            named = {"turn_id": turn.turn_id} if turn.turn_id is not None else {"ref": turn.ref}
            await self._say({"type": "cancel", **named})

    def _hear(self, frame: Json) -> None:
        turn = self._turns.find(frame.get("ref"))
        if turn is None:
            return  # nobody waits for it any more
        if frame["type"] == "over":
            turn.end()
            return
        try:
            event = events.event(frame["type"], frame, frame.get("event_id"))
        except ClawdbotError as error:
            self._refused(turn, frame, error)
        else:
            if event is not None:
                turn.hear(event)

    def _refused(self, turn: Turn, frame: Json, error: ClawdbotError) -> None:
        """Its own end has an event's id. Else it was refused what was asked: to be told of a turn, which runs on; or
        what was asked on a connection that was lost, and is still being answered under the same idempotency key."""
        again = turn.asked_on is not turn.began_on
        own = "event_id" in frame
        if own or not (error.retryable if turn.turn_id else again and error.code == "idempotency_running"):
            turn.fail(error)
            return
        if turn.turn_id is None:
            turn.turn_id = frame.get("running")
        task = asyncio.get_running_loop().create_task(self._ask_later(turn, turn.asked_on, error))
        self._again_soon.add(task)
        task.add_done_callback(self._again_soon.discard)

    async def _ask_later(self, turn: Turn, asked_on: object, error: ClawdbotError) -> None:
        if not await turn.backoff.pause():
            turn.fail(error)
        elif turn.asked_on is asked_on and self._turns.find(turn.ref) is turn:
            await self._ask(turn)


def _resumption(turn: Turn) -> Json:
    frame: Json = {"type": "resume", "turn_id": turn.turn_id, "ref": turn.ref}
    return {**frame, "last_event_id": turn.event_id} if turn.event_id is not None else frame
