"""`clawdbot.v1.ChatService` (extra `grpc`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio
from google.protobuf.json_format import ParseError

from clawdbot_client import messages
from clawdbot_client.asking import Asked, body
from clawdbot_client.errors import ClawdbotError, Disconnected
from clawdbot_client.events import Answer, Event
from clawdbot_client.generated import chat_pb2 as pb
from clawdbot_client.turns import Turn, Turns

SERVICE = "clawdbot.v1.ChatService"


class GrpcClient:
    """`target` as `127.0.0.1:8001`; with `tls` over TLS, trusting `roots` (PEM) or the usual authorities."""

    def __init__(self, target: str, credential: str, *, tls: bool = False, roots: bytes | None = None) -> None:
        self._metadata = (("authorization", f"Bearer {credential}"),)
        if tls or roots is not None:
            self._channel = grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(roots))
        else:
            self._channel = grpc.aio.insecure_channel(target)
        made = pb.ChatRequest.SerializeToString
        self._chat = self._channel.unary_unary(f"/{SERVICE}/Chat", made, pb.ChatResponse.FromString)
        self._stream = self._channel.unary_stream(f"/{SERVICE}/StreamChat", made, pb.ChatEvent.FromString)
        self._converse = self._channel.stream_stream(
            f"/{SERVICE}/Converse", pb.ClientFrame.SerializeToString, pb.ServerFrame.FromString
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._channel.close(None)

    async def chat(self, asked: Asked, *, timeout: float | None = 60.0, **fields: Any) -> Answer:
        """A whole answer. `fields` are those of `/api/chat`; `timeout` bounds the turn itself. Raises ClawdbotError."""
        request = _request(asked, fields)
        try:
            return messages.answer(await self._chat(request, metadata=self._metadata, timeout=timeout))
        except grpc.aio.AioRpcError as error:
            raise _told(error) from None

    async def stream(self, asked: Asked, *, timeout: float | None = None, **fields: Any) -> AsyncGenerator[Event, None]:
        """`Start`, any number of `Delta`, `Done`. Who stops to read early cancels the turn. Raises ClawdbotError."""
        call = self._stream(_request(asked, fields), metadata=self._metadata, timeout=timeout)
        try:
            async for sent in call:
                event = messages.event(sent, None)
                if event is not None:
                    yield event
        except grpc.aio.AioRpcError as error:
            raise _told(error) from None
        finally:
            call.cancel()

    def conversation(self) -> Conversation:
        """Many turns side by side on one call."""
        return Conversation(self._converse, self._metadata)


class Conversation:
    """async with client.conversation() as talk:
        async for event in talk.chat("Hello"): ...

    When it ends, its turns raise Disconnected, and another conversation can `resume` them."""

    def __init__(self, method: Any, metadata: Sequence[tuple[str, str]]) -> None:
        self._method = method
        self._metadata = metadata
        self._turns = Turns(self._cancel)
        self._writing = asyncio.Lock()  # a call carries one message at a time
        self._lost: ClawdbotError | None = None

    async def __aenter__(self) -> Self:
        self._call = self._method(metadata=self._metadata)
        self._reading = asyncio.get_running_loop().create_task(self._keep_reading())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call.cancel()
        with suppress(asyncio.CancelledError):
            await self._reading

    async def chat(self, asked: Asked, **fields: Any) -> AsyncGenerator[Event, None]:
        """`Start`, any number of `Delta`, `Done`. Who stops to read early cancels the turn. Raises ClawdbotError."""
        turn = self._turns.new({})
        async for event in self._events(turn, pb.ClientFrame(ref=turn.ref, chat=_request(asked, fields))):
            yield event

    async def resume(self, turn_id: str, last_event_id: str | None = None) -> AsyncGenerator[Event, None]:
        """The events of a turn after the given one, then the live ones. Nothing: that was its last."""
        turn = self._turns.new({})
        turn.turn_id = turn_id
        wanted = pb.Resume(turn_id=turn_id, last_event_id=last_event_id)
        async for event in self._events(turn, pb.ClientFrame(ref=turn.ref, resume=wanted)):
            yield event

    async def cancel(self, turn_id: str) -> None:
        """Stops a turn, wherever it runs."""
        await self._say(pb.ClientFrame(cancel=pb.Cancel(turn_id=turn_id)))

    async def _events(self, turn: Turn, first: pb.ClientFrame) -> AsyncGenerator[Event, None]:
        if self._lost is not None:
            raise self._lost
        await self._say(first)
        async for event in self._turns.read(turn):
            yield event

    async def _say(self, frame: pb.ClientFrame) -> None:
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # how the call ended is read, too
            async with self._writing:
                await self._call.write(frame)

    async def _cancel(self, turn: Turn) -> None:
        if self._lost is None:
            cancel = pb.Cancel(turn_id=turn.turn_id) if turn.turn_id is not None else pb.Cancel()
            await self._say(pb.ClientFrame(ref=turn.ref, cancel=cancel))

    async def _keep_reading(self) -> None:
        ending: ClawdbotError = Disconnected("The conversation is over.")
        try:
            async for frame in self._call:
                self._hear(frame)
        except grpc.aio.AioRpcError as error:
            ending = _told(error)
        finally:
            self._lost = ending
            self._turns.fail(ending)

    def _hear(self, frame: pb.ServerFrame) -> None:
        turn = self._turns.find(frame.ref)
        if turn is None:
            return  # nobody waits for it any more
        match frame.WhichOneof("kind"):
            case "over":
                turn.end()
            case "error":
                turn.fail(messages.error(frame.error))
            case _:
                event = messages.event(frame, frame.event_id)
                if event is not None:
                    turn.hear(event)


def _request(asked: Asked, fields: dict[str, Any]) -> pb.ChatRequest:
    try:
        return messages.request(body(asked, fields))
    except (ParseError, TypeError, KeyError, AttributeError) as error:
        raise ClawdbotError("invalid_request", f"This cannot be said over gRPC: {error}") from None


def _told(error: grpc.aio.AioRpcError) -> ClawdbotError:
    metadata: Any = error.trailing_metadata() or ()
    said = {str(name): str(value) for name, value in metadata}
    code, text = said.get("clawdbot-code"), error.details() or error.code().name
    if code is None:  # the transport's own
        if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
            return Disconnected(text)
        code = error.code().name.lower()
    return ClawdbotError(
        code,
        text,
        request_id=said.get("request-id"),
        retryable=said.get("retryable") == "true",
        retry_after=float(said["retry-after"]) if "retry-after" in said else None,
        param=said.get("clawdbot-param"),
        turn_id=said.get("x-clawdbot-decision"),
    )
