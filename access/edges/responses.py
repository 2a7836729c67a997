"""OpenAI's Responses API: `/v1/responses` and what is below it; a bare ASGI callable.

Source: OpenAI's API reference, Responses. A response is a turn. What `store` keeps is a session: the next response goes
on in it, or in a branch of it where another one came first (see `docs/responses.md`)."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import AsyncExitStack
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs

import msgspec

from access.answering import answering
from access.authentication import with_user
from access.counting import Counting
from access.disconnects import Watcher
from access.edges import responses_answers as answers
from access.edges import responses_requests as requests
from access.edges.calls import OpenAICall, WireEdge
from access.edges.responses_answers import Frame
from access.edges.responses_events import ResponseStream
from access.edges.responses_kept import KeptResponses, no_previous
from access.edges.responses_requests import Asked
from access.management.routes import count
from access.parts import Parts
from engine.bursts import deltas_of
from engine.errors import InvalidRequest, MethodNotAllowed, NotFound, NotSupported, SessionNotFound, VersionNotFound
from engine.types import ChatRequest, Done, Json, Message, Principal

RESPONSES: Final = "/v1/responses"
INPUT_TOKENS: Final = "/v1/responses/input_tokens"
RESPONSE: Final = "/v1/responses/{response_id}"
INPUT_ITEMS: Final = "/v1/responses/{response_id}/input_items"
CANCEL: Final = "/v1/responses/{response_id}/cancel"
PATHS: Final = (RESPONSES, INPUT_TOKENS, RESPONSE, INPUT_ITEMS, CANCEL)
PAGE: Final = 20
LARGEST_PAGE: Final = 100

Begun = TypeVar("Begun")


class ResponsesCall(OpenAICall):
    """An error after the first byte is the stream's own event."""

    __slots__ = ("stream",)

    stream: ResponseStream

    def error_event(self, body: Json) -> bytes:
        return self.stream.fail(body["error"])


class ResponsesEdge(WireEdge):
    """Errors before the first byte have their HTTP status. A client that leaves cancels its turn."""

    call_of = ResponsesCall

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._kept = KeptResponses(parts)
        self._counting = Counting()

    async def serve(self, call: Any, path: str) -> None:
        if path == RESPONSES:
            await self._create(call)
        elif path == INPUT_TOKENS:
            await self._count_tokens(call)
        else:
            await self._serve_one(call, *path.removeprefix(f"{RESPONSES}/").split("/"))

    # Answers ---------------------------------------------------------------------------------------------------------

    async def _create(self, call: ResponsesCall) -> None:
        call.expect("POST", RESPONSES)
        principal, asked = await self._asked(call)
        request = await self._request(principal, asked, call.number)
        frame = Frame.of(request)
        with Watcher(call.receive, call.scope) as watcher:
            async with AsyncExitStack() as stack:
                begun = answering(self._parts, principal, request)
                start, turn = await _started(stack.enter_async_context(begun), asked.previous)
                stream = ResponseStream(start, frame) if request.stream else None
                if stream is not None:
                    call.stream = stream
                    await call.open_stream(start)
                    await call.write(stream.begin())
                async for event in turn.events:
                    turn.sent(event)
                    if type(event) is Done:
                        self._parts.watching.tell(principal, start)
                        watcher.close()
                        if stream is not None:
                            await call.write(stream.end(event), more=False)
                        else:
                            response = answers.whole(event.id, frame, event, event.ended)
                            await call.answer(response, call.about(start))
                    elif stream is not None and (told := b"".join([stream.add(each) for each in deltas_of(event)])):
                        await call.write(told)

    async def _asked(self, call: ResponsesCall) -> tuple[Principal, Asked]:
        """Who asks, and what, with the items it refers to in place."""
        principal = await self.identify(call)
        asked = requests.asked(await call.chat(), call.scope["headers"])
        principal = with_user(principal, asked.user)
        if any(requests.refers(item) for item in asked.items):
            await self._admit(principal)
            asked = msgspec.structs.replace(asked, items=await self._kept.referred(principal, asked.items))
        return principal, asked

    async def _request(self, principal: Principal, asked: Asked, number: str) -> ChatRequest:
        request = asked.request(asked.messages(), request_id=number)
        if asked.previous is None:
            return request
        if not asked.remember:
            messages = await self._after(principal, asked.previous, request.messages)
            return msgspec.structs.replace(request, messages=messages)
        record = await self._kept.previous(principal, asked.previous)
        return msgspec.structs.replace(request, session_id=record.intent.session_id, follows=record.turn_id)

    async def _after(self, principal: Principal, previous: str, messages: list[Message]) -> list[Message]:
        """The whole conversation, where no session is to have it. What passes stays in front."""
        await self._admit(principal)
        before = await self._kept.past(principal, previous)
        passing = [message for message in messages if message.passing]
        return [*passing, *before, *(message for message in messages if not message.passing)]

    async def _admit(self, principal: Principal) -> None:
        """To what reads a session's past: that counts like a turn."""
        await count(self._parts, principal, ChatRequest(messages=[]))

    # Tokens ----------------------------------------------------------------------------------------------------------

    async def _count_tokens(self, call: ResponsesCall) -> None:
        call.expect("POST", INPUT_TOKENS)
        principal, asked = await self._asked(call)
        await self._admit(principal)
        request = asked.request(asked.messages(), request_id=call.number)
        if asked.previous is not None:
            messages = await self._after(principal, asked.previous, request.messages)
            request = msgspec.structs.replace(request, messages=messages)
        tokens = await self._counting.tokens(request.model, request)
        await call.answer({"object": "response.input_tokens", "input_tokens": tokens})

    # Kept responses --------------------------------------------------------------------------------------------------

    async def _serve_one(self, call: ResponsesCall, response_id: str, *below: str) -> None:
        if not below:
            await self._serve_response(call, response_id)
        elif below == ("input_items",):
            call.expect("GET", INPUT_ITEMS)
            principal = await self._reader(call)
            found = await self._kept.input_of(principal, response_id)
            await call.answer(_page(found, _query(call)))
        elif below == ("cancel",):
            call.expect("POST", CANCEL)
            await call.answer(await self._kept.cancel(await self.identify(call), response_id))
        else:
            raise NotFound

    async def _serve_response(self, call: ResponsesCall, response_id: str) -> None:
        method = call.scope["method"]
        call.expect(method, RESPONSE)
        if method not in ("GET", "DELETE"):
            raise MethodNotAllowed
        principal = await self._reader(call)
        if method == "DELETE":
            await self._kept.delete(principal, response_id)
            await call.answer({"id": response_id, "object": "response", "deleted": True})
            return
        if _query(call).get("stream", "false") != "false":
            raise NotSupported("stream: what is over cannot be streamed again here.", param="stream")
        await call.answer(await self._kept.read(principal, response_id))

    async def _reader(self, call: ResponsesCall) -> Principal:
        principal = await self.identify(call)
        await self._admit(principal)
        return principal


async def _started(begin: Awaitable[Begun], previous: str | None) -> Begun:
    """A turn's begin. Raises PreviousResponseNotFound, where a turn knows that only now."""
    try:
        return await begin
    except (SessionNotFound, VersionNotFound) as error:
        if previous is None:
            raise
        missing = no_previous(previous)
        missing.turn_id = error.turn_id
        raise missing from None


def _query(call: ResponsesCall) -> dict[str, str]:
    given = parse_qs(call.scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
    return {name: values[-1] for name, values in given.items()}


def _page(found: list[Json], query: dict[str, str]) -> Json:
    """`?order=&after=&limit=` as OpenAI pages lists: the newest first unless told."""
    limit, order, after = query.get("limit", str(PAGE)), query.get("order", "desc"), query.get("after")
    if not (limit.isascii() and limit.isdigit() and len(limit) < 4 and 1 <= int(limit) <= LARGEST_PAGE):
        raise InvalidRequest(f"limit must be a number from 1 to {LARGEST_PAGE}.", param="limit")
    if order not in ("asc", "desc"):
        raise InvalidRequest("order must be asc or desc.", param="order")
    listed = found if order == "asc" else found[::-1]
    if after is not None:
        ids = [item["id"] for item in listed]
        if after not in ids:
            raise InvalidRequest("after: there is no such item.", param="after")
        listed = listed[ids.index(after) + 1 :]
    page = listed[: int(limit)]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(listed) > len(page),
    }
