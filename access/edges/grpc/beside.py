"""The services beside ours, health and reflection: their libraries take a message they cannot read for a mistake of the
server, with a traceback in the log. It is the caller's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

Deserializer = Callable[[bytes], Any]
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Any]]

UNREADABLE: Final = object()


class Unreadable(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # it takes none when it runs
    """Answers INVALID_ARGUMENT where a method's own deserializer gives up. Methods that are given bytes stay as they
    are."""

    async def intercept_service(self, continuation: Continuation, handler_call_details: Any) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_deserializer is None:
            return handler
        read = _forgiving(handler.request_deserializer)
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(
                _stream(handler.stream_stream), read, handler.response_serializer
            )
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(_one(handler.unary_stream), read, handler.response_serializer)
        return grpc.unary_unary_rpc_method_handler(_one(handler.unary_unary), read, handler.response_serializer)


def _forgiving(deserializer: Deserializer) -> Deserializer:
    def read(raw: bytes) -> Any:
        try:
            return deserializer(raw)
        except DecodeError:
            return UNREADABLE

    return read


async def _refuse(context: Any) -> None:
    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The message cannot be read.")


def _one(method: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Of a coroutine that may write as it goes."""

    async def checked(request: Any, context: Any) -> Any:
        if request is UNREADABLE:
            await _refuse(context)
        return await method(request, context)

    return checked


def _stream(method: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Of an asynchronous generator over what comes."""

    async def checked(requests: Any, context: Any) -> Any:
        async def readable() -> Any:
            async for request in requests:
                if request is UNREADABLE:
                    await _refuse(context)
                yield request

        async for answer in method(readable(), context):
            yield answer

    return checked
