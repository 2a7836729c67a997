"""Answers that go on for long end with what they were given for: with the web session that asked, with the person's
place in the tenant, with what their role may see."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from importlib import import_module
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest, StreamingHttpResponse

from access.console.tenant.place import Place, place_of

EVERY: Final = 2.0  # seconds after which what is sent next is looked at again

Clock = Callable[[], float]


def while_allowed(
    answer: StreamingHttpResponse, request: HttpRequest, place: Place, area: str, *, clock: Clock = time.monotonic
) -> StreamingHttpResponse:
    """The same answer, which ends when `request`, made again now, would not be given it."""

    async def allowed() -> bool:
        return await sync_to_async(_still)(request, place, area)

    content: Any = answer.streaming_content
    answer.streaming_content = _guarded(content, allowed, clock)
    return answer


async def _guarded(pieces: Any, allowed: Callable[[], Awaitable[bool]], clock: Clock) -> AsyncIterator[bytes]:
    """Nothing is sent that was made more than EVERY after the last look."""
    until = clock() + EVERY
    async with aclosing(pieces):
        async for piece in pieces:
            if clock() >= until:
                if not await allowed():
                    return
                until = clock() + EVERY
            yield piece


def _still(request: HttpRequest, place: Place, area: str) -> bool:
    """Blocking. Session, person and place are read anew."""
    again = HttpRequest()
    again.session = import_module(settings.SESSION_ENGINE).SessionStore(request.session.session_key)
    again.user = get_user(again)
    found = place_of(again)
    return found is not None and found.tenant.pk == place.tenant.pk and found.may(area)
