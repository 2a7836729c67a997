"""The methods of `clawdbot.v1.ChatService`. `Chat` and `StreamChat` belong to their caller: one who leaves, or whose
deadline passes, has its turn cancelled. `Converse` is `access.edges.grpc.conversation`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Final

import grpc

from access import bodies, cache_control, events, idempotency_keys, schemas
from access.answering import answer_whole, answering
from access.authentication import with_user
from access.edges.grpc import reading, writing
from access.edges.grpc.calls import Call, Context, answered
from access.edges.grpc.conversation import Conversation
from access.edges.grpc.generated import chat_pb2 as pb
from access.parts import Parts
from engine.bursts import deltas_of
from engine.types import ChatRequest, Done, Principal

SERVICE: Final = "clawdbot.v1.ChatService"


class ChatService:
    """One a process. Its methods read bytes and give bytes. `Chat` and `StreamChat` take one message, but are handled
    as if it were a stream: it is not read, and so not kept, before it is known who sends it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._conversations: set[Conversation] = set()
        self._draining = False
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def handlers(self) -> dict[str, Any]:
        """By the names of the methods."""
        return {
            "Chat": grpc.stream_unary_rpc_method_handler(self.chat),
            "StreamChat": grpc.stream_stream_rpc_method_handler(self.stream_chat),
            "Converse": grpc.stream_stream_rpc_method_handler(self.converse),
        }

    def drain(self) -> None:
        """Conversations begin no turn any more and end with their last one."""
        self._draining = True
        for conversation in list(self._conversations):
            conversation.drain()

    async def idle(self) -> None:
        """Until no call is under way."""
        await self._idle.wait()

    async def chat(self, message: object, context: Context) -> bytes:
        call = Call(context)
        answers: list[bytes] = []
        await self._serve("Chat", call, self._chat(call, answers))
        return answers[0]

    async def stream_chat(self, message: object, context: Context) -> None:
        call = Call(context)
        await self._serve("StreamChat", call, self._stream_chat(call))

    async def converse(self, frames: object, context: Context) -> None:
        call = Call(context)
        await self._serve("Converse", call, self._converse(call))

    async def _serve(self, method: str, call: Call, work: Awaitable[None]) -> None:
        self._running += 1
        self._idle.clear()
        ended = self._parts.observer.rpc(call.headers, call.doing)
        try:
            await answered(call, work)
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()
            self._parts.metrics.request(f"/{SERVICE}/{method}", "POST", call.status)
            ended(f"/{SERVICE}/{method}", call.status)

    async def _ask(self, call: Call, *, stream: bool) -> tuple[Principal, ChatRequest]:
        principal = await call.identify(self._parts.authenticator)
        limit = self._parts.authenticator.body_limit(principal.tenant_id) or bodies.MAX_BYTES
        body = reading.chat_body(reading.parsed(await call.read(), pb.ChatRequest, limit))
        call.named = body.get("language")
        if stream:
            body["stream"] = True
        cache = idempotency = None
        if "cache" in body:
            cache = schemas.fields(body, cache_control.CacheField).cache
        if "idempotency_key" in body:
            idempotency = schemas.fields(body, idempotency_keys.KeyField).idempotency_key
        request = schemas.chat_request(
            body, edge="grpc", request_id=call.number, headers=call.headers, cache=cache, idempotency=idempotency
        )
        return with_user(principal, request.user), request

    async def _chat(self, call: Call, answers: list[bytes]) -> None:
        principal, request = await self._ask(call, stream=False)
        async with call.deadline():
            start, done = await answer_whole(self._parts, principal, request)
            answers.append(writing.response(events.answer(done, start.source)).SerializeToString())
        call.context.set_trailing_metadata(call.about(start))

    async def _stream_chat(self, call: Call) -> None:
        principal, request = await self._ask(call, stream=True)
        async with call.deadline():
            async with answering(self._parts, principal, request) as (start, turn):
                await call.context.send_initial_metadata(call.about(start))
                await call.write(_event(start=writing.start(events.start(start))))
                async for event in turn.events:
                    turn.sent(event)
                    for delta in deltas_of(event):
                        await call.write(_event(delta=writing.delta(events.delta(delta))))
                    if type(event) is Done:
                        self._parts.watching.tell(principal, start)
                        await call.write(_event(done=writing.done(events.done(event, start.source))))

    async def _converse(self, call: Call) -> None:
        principal = await call.identify(self._parts.authenticator)
        conversation = Conversation(self._parts, call, principal)
        self._conversations.add(conversation)
        try:
            if self._draining:
                conversation.drain()
            async with call.deadline():
                await conversation.run()
        finally:
            self._conversations.discard(conversation)


def _event(**kind: Any) -> bytes:
    return pb.ChatEvent(**kind).SerializeToString()
