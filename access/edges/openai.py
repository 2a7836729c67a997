"""The OpenAI wire format: `/v1/chat/completions`, `/v1/embeddings`, `/v1/models`, `/v1/models/{id}`; a bare ASGI
callable.

Source: OpenAI's API reference (chat completions, their chunks, models, errors). What its clients need beyond that:
`finish_reason` before every end of a stream, one id for all chunks, `logprobs`, `refusal` and `error.param` present
even where they are null. The frequent bytes are templates around one encoded string. Where the model's service speaks
this format too and nothing between changes the answer, its own members go on as they came (`engine.types.Burst`).
"""

from __future__ import annotations

import time
from collections.abc import Awaitable
from operator import attrgetter

import orjson

from access import bodies, events, older_functions, schemas
from access.answering import answer_whole, answering
from access.authentication import with_user
from access.disconnects import Watcher
from access.edges import embeddings
from access.edges.calls import Call, OpenAICall, WireEdge
from engine.errors import ModelNotFound, NotFound
from engine.types import Burst, ChatRequest, Choice, Delta, Done, Json, Principal, Start
from routing.table import PublicModel

COMPLETIONS = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"
MODELS = "/v1/models"
MODEL = "/v1/models/{id}"
INDEX = attrgetter("index")
STREAM_END = b"data: [DONE]\n\n"

# What stands in a chunk between the head that all of a stream share and what it says; after that, by whether the usage
# was asked for, its end.
CHOICES = b'"choices":['
TEXT = b'"choices":[{"index":%d,"delta":{"content":'
FIRST_TEXT = TEXT % 0
TAIL = (b"}\n\n", b',"usage":null}\n\n')
CHOICES_END = (b"]}\n\n", b'],"usage":null}\n\n')
TEXT_END = tuple(b'},"logprobs":null,"finish_reason":null}' + end for end in CHOICES_END)


class OpenAIEdge(WireEdge):
    """Errors before the first byte have their HTTP status; after it an event with the envelope ends the stream. A
    client that leaves cancels its turn."""

    call_of = OpenAICall

    def serve(self, call: Call, path: str) -> Awaitable[None]:
        if path == COMPLETIONS:
            return self._complete(call)
        if path == EMBEDDINGS:
            return self._embed(call)
        return self._models(call, path)

    # /v1/chat/completions ----------------------------------------------------------------------------------------

    async def _complete(self, call: Call) -> None:
        call.expect("POST", COMPLETIONS)
        principal, request, older = await self._asked(call)
        with Watcher(call.receive, call.scope) as watcher:
            if not request.stream:
                await self._whole(call, watcher, principal, request, older)
                return
            async with answering(self._parts, principal, request) as (start, turn):
                stream = ChunkStream(start, schemas.include_usage(request), older)
                await call.open_stream(start)
                async for event in turn.events:
                    turn.sent(event)
                    if type(event) is Delta:
                        await call.write(stream.chunk(event))
                    elif type(event) is Burst:
                        await call.write(stream.together(event))
                    elif type(event) is Done:
                        self._parts.watching.tell(principal, start)
                        watcher.close()
                        await call.write(stream.end(event), more=False)

    async def _asked(self, call: Call) -> tuple[Principal, ChatRequest, bool]:
        """Who asks, what, and whether in the older form. Of the body nothing else is kept."""
        principal = await self.identify(call)
        body = await call.chat()
        older = older_functions.spoken(body)
        if older:
            body = older_functions.translated(body)
        request = schemas.openai_request(body, request_id=call.number, headers=call.scope["headers"])
        return with_user(principal, request.user), request, older

    async def _whole(
        self, call: Call, watcher: Watcher, principal: Principal, request: ChatRequest, older: bool
    ) -> None:
        start, done = await answer_whole(self._parts, principal, request)
        watcher.close()
        if older or done.verbatim is None:
            await call.answer(completion(done, older), call.about(start))
        else:
            await call.answer(passed_on(done, done.verbatim), call.about(start))

    # /v1/embeddings ----------------------------------------------------------------------------------------------

    async def _embed(self, call: Call) -> None:
        call.expect("POST", EMBEDDINGS)
        principal = await self.identify(call)
        body = bodies.parse(await call.body(), bodies.LARGEST_BYTES, token_lists=True)
        request, form = await embeddings.request_of(body, request_id=call.number, headers=call.scope["headers"])
        principal = with_user(principal, request.user)
        with Watcher(call.receive, call.scope) as watcher:
            done = await self._parts.engine.embed(principal, request)
            answer = await embeddings.answer(done, form)
            watcher.close()
            start = Start(done.id, None, done.model, replayed=done.replayed, limits=done.limits)
            await call.answer(answer, call.about(start))

    # /v1/models --------------------------------------------------------------------------------------------------

    async def _models(self, call: Call, path: str) -> None:
        if path != MODELS and not path.startswith(f"{MODELS}/"):
            raise NotFound
        call.expect("GET", MODELS if path == MODELS else MODEL)
        principal = await self.identify(call, "chat", "visit")
        models = self._parts.router.public_models(principal.tenant_id)
        if principal.kind == "visitor":
            models = self._parts.visiting.models(principal, models)
        if path == MODELS:
            await call.answer({"object": "list", "data": [_model(model) for model in models]})
            return
        name = path.removeprefix(f"{MODELS}/")
        for model in models:
            if model.id == name:
                await call.answer(_model(model))
                return
        raise ModelNotFound(param="model")


def _model(model: PublicModel) -> Json:
    return {"id": model.id, "object": "model", "created": model.created, "owned_by": model.owned_by}


class ChunkStream:
    """The chunks of one stream. The role comes with the first delta of each choice. `older`: see
    `access.older_functions`."""

    __slots__ = ("_begun", "_head", "_include_usage", "_older")

    def __init__(self, start: Start, include_usage: bool, older: bool = False) -> None:
        head = orjson.dumps(
            {
                "id": f"chatcmpl-{start.id}",
                "object": "chat.completion.chunk",
                "created": int(time.time()),
                "model": start.model,
            }
        )
        self._head = b"data: " + head[:-1] + b","
        self._include_usage = include_usage
        self._older = older
        self._begun: tuple[int, ...] = ()  # choices that have their role

    def chunk(self, delta: Delta) -> bytes:
        index = delta.index
        if index in self._begun and _only_content(delta):
            before = FIRST_TEXT if index == 0 else TEXT % index
            return b"".join((self._head, before, orjson.dumps(delta.content), TEXT_END[self._include_usage]))
        return self._whole(index, self._delta(delta), delta.logprobs, None)

    def together(self, burst: Burst) -> bytes:
        if burst.verbatim is None or self._older:
            return b"".join(map(self.chunk, burst.deltas))
        if len(burst.deltas) > 1 or burst.deltas[0].index not in self._begun:
            self._begun += tuple(set(map(INDEX, burst.deltas)).difference(self._begun))
        return self._passed_on(burst.verbatim)

    def _passed_on(self, events: list[bytes]) -> bytes:
        """Events as they came, around which is what the gateway says of them."""
        tail = TAIL[self._include_usage]
        return self._head + (tail + self._head).join(events) + tail

    def _delta(self, delta: Delta) -> Json:
        body: Json = {}
        if delta.index not in self._begun:
            self._begun += (delta.index,)
            body = {"role": "assistant", "content": delta.content, "refusal": delta.refusal}
        elif delta.content is not None:
            body["content"] = delta.content
        if delta.reasoning is not None:
            body["reasoning_content"] = delta.reasoning
        if delta.tool_calls:
            body["tool_calls"] = delta.tool_calls
        if delta.refusal is not None:
            body["refusal"] = delta.refusal
        return body

    def _whole(self, index: int, delta: Json, logprobs: Json | None, finish_reason: str | None) -> bytes:
        if self._older:
            delta, finish_reason = older_functions.answered(delta), older_functions.finished(finish_reason)
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        return b"".join((self._head, CHOICES, orjson.dumps(choice), CHOICES_END[self._include_usage]))

    def end(self, done: Done) -> bytes:
        """Every choice's finish reason, with the last what plugins have to say; the usage where it was asked for, and
        the end mark."""
        pieces = []
        if done.verbatim is not None and not self._older:
            pieces.append(self._passed_on(done.verbatim))
        else:
            pieces += map(self._ended, done.choices)
        if done.metadata:
            pieces[-1] = b'%b,"clawdbot":%b}\n\n' % (pieces[-1][:-3], orjson.dumps(events.vendor(done)))
        if self._include_usage:
            usage = orjson.dumps(events.usage(done.usage))
            pieces.append(b'%b%b],"usage":%b}\n\n' % (self._head, CHOICES, usage))
        return b"".join([*pieces, STREAM_END])

    def _ended(self, choice: Choice) -> bytes:
        first = {} if choice.index in self._begun else {"role": "assistant", "content": "", "refusal": None}
        return self._whole(choice.index, first, None, choice.finish_reason)


def _only_content(delta: Delta) -> bool:
    return (
        delta.content is not None
        and delta.reasoning is None
        and delta.tool_calls is None
        and delta.refusal is None
        and delta.logprobs is None
    )


def completion(done: Done, older: bool = False) -> Json:
    """The whole answer, a `chat.completion`."""
    body = _head(done)
    body["choices"] = [_choice(choice, older) for choice in done.choices]
    body["usage"] = events.usage(done.usage)
    if done.system_fingerprint is not None:
        body["system_fingerprint"] = done.system_fingerprint
    if done.metadata:
        body["clawdbot"] = events.vendor(done)
    return body


def passed_on(done: Done, members: list[bytes]) -> bytes:
    """The whole answer as it came, with what the gateway says of it around."""
    tail: Json = {"usage": events.usage(done.usage)}
    if done.metadata:
        tail["clawdbot"] = events.vendor(done)
    return b",".join([orjson.dumps(_head(done))[:-1], *members, orjson.dumps(tail)[1:]])


def _head(done: Done) -> Json:
    return {
        "id": f"chatcmpl-{done.id}",
        "object": "chat.completion",
        "created": done.created,
        "model": done.model,
    }


def _choice(choice: Choice, older: bool) -> Json:
    message = events.message(choice.message)
    message.setdefault("refusal", None)
    return {
        "index": choice.index,
        "message": older_functions.answered(message) if older else message,
        "logprobs": choice.logprobs,
        "finish_reason": older_functions.finished(choice.finish_reason) if older else choice.finish_reason,
    }
