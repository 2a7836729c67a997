"""A model for self-tests: an OpenAI-compatible server on loopback whose answers take a moment and differ."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from typing import Final

from aiohttp import web

PIECES: Final = 10
PACE: Final = 0.004  # seconds between two pieces


class Model:
    """`url` once started; `calls` counts."""

    def __init__(self) -> None:
        self.calls = 0
        self.url = ""
        self._numbers = itertools.count(1)
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.calls += 1
        asked = await request.json()
        number = next(self._numbers)
        pieces = [f"answer {number}, part {part}; " for part in range(PIECES)]
        if not asked.get("stream"):
            await asyncio.sleep(PIECES * PACE)
            message = {"role": "assistant", "content": "".join(pieces)}
            return web.json_response({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        with contextlib.suppress(ConnectionResetError):  # who asked was killed
            await response.prepare(request)
            for piece in pieces:
                await response.write(_event({"index": 0, "delta": {"content": piece}, "finish_reason": None}))
                await asyncio.sleep(PACE)
            await response.write(_event({"index": 0, "delta": {}, "finish_reason": "stop"}) + b"data: [DONE]\n\n")
        return response


def _event(choice: dict[str, object]) -> bytes:
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"
