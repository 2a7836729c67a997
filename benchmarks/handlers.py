"""What Django and DRF cost on the request path: `python -m benchmarks.handlers [--rounds N]`.

The same `/api/chat` view behind three handlers: the lean one it is served by, Django's own without middleware, and
Django's own with the consoles' middleware; beside them `/v1/chat/completions`, which uses neither. In process, as
`benchmarks.inprocess`; the tenant has no limits and no words, so the handler is most of what is left. The same for a
view that does nothing."""

from __future__ import annotations

import argparse
import os
from collections.abc import Awaitable, Callable

import uvloop
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.http import HttpResponse
from django.test import override_settings
from django.urls import re_path
from django.views.decorators.csrf import csrf_exempt

from benchmarks import workload
from benchmarks.inprocess import TOGETHER, Caller, Figures, Work, nothing, prepared, sampled, show, started

from access.asgi import App  # isort: skip  # after benchmarks.inprocess, which sets Django up
from access.edges.rest import ChatView  # isort: skip
from access.body_limits import BodyLimits

from access.lean import JsonReply, LeanHandler  # isort: skip
from clawdbot_site.wiring import Application  # isort: skip

View = Callable[..., Awaitable[object]]
BODY = b'{"session_id":"00000000000000000000000000000000"}'


def as_stock(view: View) -> View:
    """A view of the lean handler as one of Django's own."""

    @csrf_exempt
    async def stock(request: ASGIRequest) -> HttpResponse:
        request.headers_raw = dict(request.scope["headers"])
        request.request_id = os.urandom(16).hex()
        reply = await view(request)
        assert isinstance(reply, JsonReply)
        headers = {name.decode(): value.decode() for name, value in reply.headers}
        return HttpResponse(reply.body, status=reply.status_code, content_type="application/json", headers=headers)

    return stock


async def idle(request: object) -> JsonReply:
    return JsonReply(BODY)


async def measure(application: Application, key: str, rounds: int) -> Figures:
    async with started(application):
        chat: View = ChatView.as_view(parts=application.parts)
        lean = [re_path(r"^api/chat$", chat, name="/api/chat"), re_path(r"^idle$", idle, name="/idle")]
        stock = (re_path(r"^api/chat$", as_stock(chat)), re_path(r"^idle$", as_stock(idle)))
        with override_settings(ROOT_URLCONF=stock):
            with override_settings(MIDDLEWARE=[]):
                bare = ASGIHandler()
            handlers: dict[str, App] = {
                "lean handler": LeanHandler(lean, nothing, BodyLimits(application.parts.authenticator)),
                "Django's handler, no middleware": bare,
                "Django's handler, the consoles' middleware": ASGIHandler(),
            }
            works: dict[str, list[Work]] = {
                "/v1/chat/completions, no Django": _callers(application.app, "/v1/chat/completions", key)
            }
            for name, handler in handlers.items():
                works[f"/api/chat, {name}"] = _callers(handler, "/api/chat", key)
            for name, handler in handlers.items():
                works[f"a view that does nothing, {name}"] = _callers(handler, "/idle", key)
            drivers = {name: _callers(nothing, "/", key, rest="/api/chat" in name) for name in works}
            return await sampled(works, drivers, rounds, batch=320)


def _callers(app: App, path: str, key: str, *, rest: bool = False) -> list[Work]:
    rest = rest or path == "/api/chat"
    talks = [workload.GivenSessions() if rest else workload.Talk(workload.openai()) for _ in range(TOGETHER)]
    return [Caller(app, path, key, talk).ask for talk in talks]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    with prepared() as (application, keys):
        figures = uvloop.run(measure(application, keys["plain"], asked.rounds))
    show(figures)


if __name__ == "__main__":
    main()
