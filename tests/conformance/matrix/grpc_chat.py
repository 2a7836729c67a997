"""gRPC in the matrix, over a real channel."""

from __future__ import annotations

from typing import Any

import grpc

from tests.access.grpc.client import chat, metadata, served, stream_chat, tool_calls, transcribed
from tests.access.parts import Site
from tests.conformance.edges import merged
from tests.conformance.matrix.features import Got, Json
from tests.conformance.matrix.formats import Began, Format, fragments


class Grpc(Format):
    name = "gRPC"
    route = "clawdbot.v1.ChatService"

    async def ask(self, site: Site, body: Json) -> Got:
        got = Got(None)
        async with served(site) as (_, channel):
            request, told = transcribed(body), metadata(site.alice)
            try:
                if "stream" not in body:
                    self._whole(got, await chat(channel, request, metadata=told))
                else:
                    async for event in stream_chat(channel, request, metadata=told):
                        self._event(got, event)
            except grpc.aio.AioRpcError as error:
                said = dict(error.trailing_metadata() or ())
                got.code, got.param = said["clawdbot-code"], said.get("clawdbot-param")
                got.overflow = got.code == "context_length_exceeded"
        return got

    def _event(self, got: Got, event: Any) -> None:
        kind = event.WhichOneof("kind")
        said = getattr(event, kind)
        if kind == "delta":
            one = got.choice(said.index)
            one.text += said.content
            got.pieces += bool(said.content)
            calls = [
                {"index": each.index, "id": each.id, "function": {"name": each.name, "arguments": each.arguments}}
                for each in said.tool_calls
            ]
            one.calls = merged([*fragments(one.calls), *calls])
        elif kind == "done":
            self._whole(got, said)

    def _whole(self, got: Got, answer: Any) -> None:
        for one in answer.choices or [answer]:
            said = got.choice(getattr(one, "index", 0))
            said.text, said.reasoning = one.message.content, one.message.reasoning_content
            said.calls, said.finish = tool_calls(one.message) or [], one.finish_reason
        got.usage = (answer.usage.prompt_tokens, answer.usage.completion_tokens)

    async def leave(self, site: Site, body: Json, began: Began) -> None:
        async with served(site) as (_, channel):
            call = stream_chat(channel, transcribed(body), metadata=metadata(site.alice))
            await call.wait_for_connection()
            await began()
            call.cancel()
