"""The Anthropic wire format: `/v1/messages`, `/v1/messages/count_tokens`, and `/v1/models` for callers that say an
`anthropic-version`; a bare ASGI callable.

Source: the Claude API reference. Any `anthropic-version` and `anthropic-beta` is taken. What a request may say is in
`messages_body` and `messages_blocks`, what is answered in `messages_answers`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qs

from access import errors, rate_limits, schemas
from access.answering import answering
from access.asgi import RawHeaders
from access.authentication import with_user
from access.counting import Counting
from access.disconnects import Watcher
from access.edges.calls import Call, WireEdge
from access.edges.messages_answers import Streamed, Whole, event
from access.edges.messages_body import CountBody, count_request, messages_request, refuse
from access.parts import Parts
from engine import estimating
from engine.bursts import deltas_of
from engine.errors import EngineError, InvalidRequest, ModelNotFound, NotFound
from engine.types import ChatRequest, Done, Json, Principal, RateLimits
from routing.table import PublicModel

MESSAGES: Final = "/v1/messages"
COUNT: Final = "/v1/messages/count_tokens"
MODELS: Final = "/v1/models"
MODEL: Final = "/v1/models/{id}"
VERSION: Final = b"anthropic-version"
MAX_MODELS: Final = 1000
SOME_MODELS: Final = 20


def is_meant(path: str, headers: RawHeaders) -> bool:
    """Whether a request is of this format: what its path says, or its caller of the paths that two formats have."""
    if path.startswith(MODELS):
        return any(name == VERSION for name, _ in headers)
    return path.startswith(MESSAGES)


class MessagesCall(Call):
    """Errors in Anthropic's envelope; the request's number also as `request-id`."""

    __slots__ = ()

    def error_body(self, error: EngineError, language: str) -> Json:
        return errors.anthropic_body(error, self.number, language)

    def error_event(self, body: Json) -> bytes:
        return event("error", **{key: value for key, value in body.items() if key != "type"})

    def tell_limits(self, limits: RateLimits | None) -> RawHeaders:
        return rate_limits.anthropic(limits)

    def extra_headers(self) -> RawHeaders:
        return [(b"request-id", self.number.encode("ascii"))]


class MessagesEdge(WireEdge):
    """Errors before the first byte have their HTTP status, after it an `error` event ends the stream. A client that
    leaves cancels its turn."""

    call_of = MessagesCall

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._counting = Counting()

    async def serve(self, call: Call, path: str) -> None:
        if path == MESSAGES:
            await self._answer(call)
        elif path == COUNT:
            await self._count(call)
        else:
            await self._models(call, path)

    async def _answer(self, call: Call) -> None:
        call.expect("POST", MESSAGES)
        principal = await self.identify(call)
        request = messages_request(await call.chat(), request_id=call.number, headers=call.scope["headers"])
        principal = with_user(principal, request.user)
        stops: list[str] = request.params.get("stop", [])
        with Watcher(call.receive, call.scope) as watcher:
            async with answering(self._parts, principal, request) as (start, turn):
                answer: Streamed | Whole
                if request.stream:
                    answer = Streamed(start, estimating.messages_tokens(request.messages))
                    await call.open_stream(start)
                    await call.write(answer.opening)
                else:
                    answer = Whole(start)
                async for event_ in turn.events:
                    turn.sent(event_)
                    if type(event_) is Done:
                        self._parts.watching.tell(principal, start)
                        watcher.close()
                        if isinstance(answer, Streamed):
                            await call.write(answer.end(event_, stops), more=False)
                        else:
                            await call.answer(answer.end(event_, stops), call.about(start))
                    elif said := b"".join([answer.feed(each) for each in deltas_of(event_) if each.index == 0]):
                        await call.write(said)

    async def _count(self, call: Call) -> None:
        """As the model reads it that would answer now. No turn: nothing is journalled and nobody called."""
        call.expect("POST", COUNT)
        principal = await self.identify(call)
        body = await call.chat()
        refuse(body)
        asked: CountBody = schemas.fields(body, CountBody)
        request = count_request(asked, request_id=call.number, headers=call.scope["headers"])
        tokens = await self._counting.tokens(self._model_of(principal, request), request)
        await call.answer({"input_tokens": tokens})

    def _model_of(self, principal: Principal, request: ChatRequest) -> str:
        """Raises ModelNotFound."""
        model = self._parts.router.explain(principal, request, request.messages).get("model")
        return model if isinstance(model, str) else request.model

    async def _models(self, call: Call, path: str) -> None:
        if path != MODELS and not path.startswith(f"{MODELS}/"):
            raise NotFound
        call.expect("GET", MODELS if path == MODELS else MODEL)
        principal = await self.identify(call)
        models = [_model(model) for model in self._parts.router.public_models(principal.tenant_id)]
        if path == MODELS:
            await call.answer(_page(models, call.scope.get("query_string", b"")))
            return
        name = path.removeprefix(f"{MODELS}/")
        found = next((model for model in models if model["id"] == name), None)
        if found is None:
            raise ModelNotFound(param="model")
        await call.answer(found)


def _model(model: PublicModel) -> Json:
    created = datetime.fromtimestamp(model.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.id,
        "created_at": created,
        "lifecycle": "active",
    }


def _page(models: list[Json], query: bytes) -> Json:
    """`limit` of them, after `after_id` or before `before_id`; ids that are not there are the ends of the list."""
    asked = {name: values[-1] for name, values in parse_qs(query.decode("latin-1")).items()}
    limit = asked.get("limit", str(SOME_MODELS))
    if not limit.isascii() or not limit.isdigit() or len(limit) > 4 or not 1 <= int(limit) <= MAX_MODELS:
        raise InvalidRequest(f"limit: must be a number from 1 to {MAX_MODELS}.", param="limit")
    names = [model["id"] for model in models]
    first, last = 0, len(models)
    if (after := asked.get("after_id")) in names:
        first = names.index(after) + 1
    if (before := asked.get("before_id")) in names:
        last = names.index(before)
        first = max(first, last - int(limit))
        page, more = models[first:last], first > 0
    else:
        page = models[first : first + int(limit)]
        more = first + len(page) < last
    return {
        "data": page,
        "has_more": more,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
    }
