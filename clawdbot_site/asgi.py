"""The ASGI entry points: `create()` for the production server, `application` for any other."""

from __future__ import annotations

import asyncio
import os
import warnings
from typing import cast

import django

# WhiteNoise's files are small, and read whole in a thread: nothing that whoever runs the product should hear of.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clawdbot_site.settings")
django.setup()

from django.core.exceptions import ImproperlyConfigured  # noqa: E402  # the apps must be loaded before anything of ours
from django.core.handlers.asgi import ASGIHandler  # noqa: E402

from access.asgi import App, Receive, Scope, Send  # noqa: E402
from clawdbot_site import checks  # noqa: E402
from clawdbot_site.wiring import Application  # noqa: E402


def create(kind: str = "web") -> Application:
    """One application, not started: the server calls `startup` on its event loop. `kind`: `web` or `grpc`.

    Raises ImproperlyConfigured where settings are unsafe: another server than ours runs no checks."""
    for problem in checks.unsafe_settings():
        raise ImproperlyConfigured(problem.msg)
    return Application(cast(App, ASGIHandler()), kind)


class SelfStarting:
    """For servers without our life cycle, such as `runserver`: starts at the first connection and never drains."""

    def __init__(self) -> None:
        self._application: Application | None = None
        self._starting: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return
        if self._starting is None:
            self._application = create()
            self._starting = asyncio.get_running_loop().create_task(self._application.startup())
        await asyncio.shield(self._starting)
        assert self._application is not None
        await self._application.app(scope, receive, send)


application = SelfStarting()
