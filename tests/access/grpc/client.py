"""A real gRPC server and channel around a site of `tests.access.parts`."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.json_format import ParseDict, ParseError

from access.edges.grpc.generated import chat_pb2 as pb
from access.edges.grpc.server import GrpcServer
from access.edges.grpc.service import SERVICE

KIND = "direct"  # of SERVERS; each test is run with all of them


async def yes() -> bool:
    return True


@asynccontextmanager
async def served(site: Any, ready: Any = yes, options: Any = ()):
    """The server, and an insecure channel to it with `options`."""
    server = GrpcServer(site.parts, ready, kind=KIND)
    target = f"127.0.0.1:{server.listen('127.0.0.1:0')}"
    await server.start()
    async with grpc.aio.insecure_channel(target, options) as channel:
        channel.target = target
        try:
            yield server, channel
        finally:
            await server.stop(0)
            await server.drain()


def plain(message: bytes | Any) -> bytes:
    return message if isinstance(message, bytes) else message.SerializeToString()


def chat(channel, request, **options):
    method = channel.unary_unary(f"/{SERVICE}/Chat", plain, pb.ChatResponse.FromString)
    return method(request, **options)


def stream_chat(channel, request, **options):
    method = channel.unary_stream(f"/{SERVICE}/StreamChat", plain, pb.ChatEvent.FromString)
    return method(request, **options)


def converse(channel, **options):
    return channel.stream_stream(f"/{SERVICE}/Converse", plain, pb.ServerFrame.FromString)(**options)


def metadata(client: Any, **more: str) -> tuple[tuple[str, str], ...]:
    """What an ASGI client of the tests sends as headers."""
    return tuple((name.lower(), value) for name, value in {**client.headers, **more}.items())


def transcribed(body: dict[str, Any], *, strict: bool = False) -> pb.ChatRequest:
    """A body of `/api/chat`, field by field. Raises ParseError: it cannot be said in these types; `strict`: as where a
    field is unknown."""
    body = dict(body)
    try:
        body["messages"] = [_message(each) for each in body.get("messages") or ()]
        if isinstance(body.get("stop"), str):
            body["stop"] = [body["stop"]]
        body["tools"] = [each["function"] for each in body.get("tools") or ()]
    except (TypeError, KeyError, AttributeError) as error:
        raise ParseError(str(error)) from None
    return ParseDict(body, pb.ChatRequest(), ignore_unknown_fields=not strict)


def _message(message: dict[str, Any]) -> dict[str, Any]:
    said = {key: value for key, value in message.items() if value is not None}
    if isinstance(said.get("content"), list):
        said["parts"] = said.pop("content")
    return said


def usage(used: pb.Usage) -> dict[str, Any]:
    return {field.name: value for field, value in used.ListFields()}


def tool_calls(said: pb.Message) -> list[dict[str, Any]] | None:
    calls = []
    for each in said.tool_calls:
        function = {"name": each.function.name, "arguments": each.function.arguments}
        calls.append({"id": each.id, "type": "function", "function": function})
    return calls or None
