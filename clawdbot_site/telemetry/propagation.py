"""Tells models' services which trace a call belongs to."""

from __future__ import annotations

from collections.abc import Mapping

from engine.context import CONTEXT
from engine.outbound import HttpClient, HttpResponse, Timeouts


class TracedClient:
    """An `HttpClient` whose calls of models carry `traceparent`, where the turn is followed."""

    def __init__(self, inner: HttpClient) -> None:
        self._inner = inner

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes, timeouts: Timeouts) -> HttpResponse:
        context = CONTEXT.get()
        if context is not None and context.traceparent:
            headers = {**headers, "traceparent": context.traceparent}
        return await self._inner.post(url, headers=headers, body=body, timeouts=timeouts)

    async def get(self, url: str, *, headers: Mapping[str, str], timeouts: Timeouts) -> HttpResponse:
        return await self._inner.get(url, headers=headers, timeouts=timeouts)

    async def close(self) -> None:
        await self._inner.close()
