"""The services beside ours, health and reflection, which need no credential: their libraries take a message they cannot
read for a mistake of the server, with a traceback in the log, and anybody could hold all the calls there may be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

Deserializer = Callable[[bytes], Any]
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Any]]

UNREADABLE: Final = object()
AT_ONCE: Final = 1024  # calls of them that last, as Watch does; those of our own service need the rest
SENT_WITHIN: Final = 5.0  # seconds for the one message of a call


class Beside(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # it takes none when it runs
    """Answers INVALID_ARGUMENT where a method's own deserializer gives up or has nothing to read, RESOURCE_EXHAUSTED
    where `most` calls are open that answer with a stream. Methods that are given bytes stay as they are."""

    def __init__(self, most: int = AT_ONCE) -> None:
        self._left = most

    async def intercept_service(self, continuation: Continuation, handler_call_details: Any) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_deserializer is None:
            return handler
        read = _forgiving(handler.request_deserializer)
        answer = handler.response_serializer
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(self._stream(handler.stream_stream), read, answer)
        # As a stream of messages: the library waits without an end for the one of a call that has one.
        if handler.response_streaming:
            method = self._lasting(_one(handler.unary_stream, read))
        else:
            method = _one(handler.unary_unary, read)
        return grpc.stream_stream_rpc_method_handler(method, None, answer)

    @asynccontextmanager
    async def _counted(self, context: Any) -> AsyncIterator[None]:
        if self._left <= 0:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many of these calls are open.")
        self._left -= 1
        try:
            yield
        finally:
            self._left += 1

    def _lasting(self, method: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        async def counted(requests: Any, context: Any) -> Any:
            async with self._counted(context):
                await method(requests, context)

        return counted

    def _stream(self, method: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """Of an asynchronous generator over what comes."""

        async def checked(requests: Any, context: Any) -> Any:
            async def readable() -> Any:
                async for request in requests:
                    if request is UNREADABLE:
                        await _refuse(context)
                    yield request

            async with self._counted(context):
                async for answer in method(readable(), context):
                    yield answer

        return checked


def _forgiving(deserializer: Deserializer) -> Deserializer:
    def read(raw: bytes) -> Any:
        try:
            return deserializer(raw)
        except DecodeError:
            return UNREADABLE

    return read


async def _refuse(context: Any) -> None:
    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The message cannot be read.")


def _one(method: Callable[[Any, Any], Any], read: Deserializer) -> Callable[[Any, Any], Any]:
    """Of a coroutine that answers with one message, or writes as it goes."""

    async def checked(_: Any, context: Any) -> None:
        raw = grpc.aio.EOF  # type: ignore[attr-defined]  # the stubs lack it
        with suppress(TimeoutError):
            async with asyncio.timeout(SENT_WITHIN):
                raw = await context.read()
        request = UNREADABLE if raw is grpc.aio.EOF else read(raw)  # type: ignore[attr-defined]
        if request is UNREADABLE:
            await _refuse(context)
        answer = await method(request, context)
        if answer is not None:
            await context.write(answer)

    return checked
