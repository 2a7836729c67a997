"""When an answer may stand in for another model call, under which key, and how it is replayed.

The key is the tenant and the whole final upstream request, except whether it is streamed: that asks the model for
nothing else. Instances of one public name and version that send the same are taken for the same model. Within tools and
parameters order matters: a model answers with the properties of a schema in the order in which they are listed."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

import msgspec

from engine.folding import Fold, as_delta
from engine.ports import Route
from engine.types import CachePolicy, ChatRequest, Delta, End, ModelCall, Principal, StoredAnswer

_TRANSPORT: Final = frozenset({"stream_options"})
_UNENCODABLE: Final = (ValueError, TypeError, OverflowError, RecursionError)

_encode = msgspec.json.Encoder().encode


def is_repeatable(policy: CachePolicy, request: ChatRequest) -> bool:
    """Whether the same request may be given the same answer: the tenant wants it, and a model at temperature 0 would
    mostly say the same anyway (or the tenant wants it for sampled answers too)."""
    if not (policy.ttl or policy.coalesce) or request.cache == "no-store" or request.instance_id is not None:
        return False
    return policy.sampled or request.temperature == 0


def key_of(principal: Principal, route: Route, call: ModelCall) -> str | None:
    """64 hex digits; None where the request cannot be encoded, and then is neither kept nor shared."""
    request, instance = call.request, route.instance
    params = sorted(name for name in request.params if name not in _TRANSPORT)
    try:
        asked = (
            principal.tenant_id, route.model, instance.adapter, route.adapter.shape, instance.version, call.model,
            call.messages, request.temperature, request.max_tokens, request.tools,
            [(name, request.params[name]) for name in params],
        )  # fmt: skip
        return hashlib.blake2b(_encode(asked), digest_size=32).hexdigest()
    except _UNENCODABLE:
        return None


async def replayed(answer: StoredAnswer) -> AsyncGenerator[Delta | End, None]:
    """What an adapter would yield: one delta a choice, then the end."""
    for choice in answer.choices:
        delta = as_delta(choice)
        if delta != Delta(index=choice.index):
            yield delta
    yield answer.end


class Keeping:
    """Has `put` keep an answer once it is `whole` and a turn that read it is recorded: the first of them that calls
    this, and is told so."""

    __slots__ = ("_answer", "_put")

    def __init__(self, put: Callable[[StoredAnswer], None]) -> None:
        self._put = put
        self._answer: StoredAnswer | None = None

    def whole(self, answer: StoredAnswer) -> None:
        self._answer = answer

    def __call__(self) -> bool:
        answer, self._answer = self._answer, None
        if answer is None:
            return False
        self._put(answer)
        return True


async def recorded(upstream: AsyncGenerator[Delta | End, None], keeping: Keeping) -> AsyncGenerator[Delta | End, None]:
    """The same events; a whole answer is handed over before its End is yielded."""
    fold = Fold()
    async with aclosing(upstream):
        async for event in upstream:
            if type(event) is Delta:
                fold.add(event)
            elif type(event) is End:
                keeping.whole(StoredAnswer(fold.choices(event.finish_reasons, "stop"), event))
            yield event
