"""Personal data at the engine's edge to the model: what is masked before a call is restored in its answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from engine.ports import Restorer
from engine.types import ChatRequest, Delta, End, Message, Principal


class OpenPrivacy:
    """The privacy of an engine that masks nothing."""

    def mask(
        self, principal: Principal, messages: list[Message], request: ChatRequest
    ) -> tuple[list[Message], ChatRequest, Restorer | None]:
        return messages, request, None

    def mask_each(self, principal: Principal, texts: Sequence[str]) -> tuple[list[str], dict[str, int]]:
        return list(texts), {}


async def restored(
    upstream: AsyncGenerator[Delta | End, None], restorer: Restorer
) -> AsyncGenerator[Delta | End, None]:
    """The same events with the values in their places; what was held back comes before the End."""
    async with aclosing(upstream):
        async for event in upstream:
            if type(event) is Delta:
                delta = restorer.feed(event)
                if delta is not None:
                    yield delta
                continue
            for rest in restorer.flush():
                yield rest
            yield event
