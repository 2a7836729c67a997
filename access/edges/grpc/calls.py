"""One gRPC call: who calls, until when, and how its errors are told. Shared by the methods of the service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import unquote

import grpc

from access import asgi, errors, languages
from access.asgi import RawHeaders
from access.authentication import require_scope
from access.connections import Authenticator
from access.generations import STALLED
from engine.context import begin, belongs_to
from engine.errors import DeadlineExceeded, EngineError, InvalidRequest, RateLimited
from engine.types import Principal, Start

Context = grpc.aio.ServicerContext[Any, Any]
Metadata = tuple[tuple[str, str], ...]

SENT_WITHIN: Final = 30.0  # seconds a call may take for its message
FORWARDED: Final = frozenset({"forwarded", "x-forwarded-for"})  # what proxies of HTTP say; nobody is believed here


def slow_reader() -> EngineError:
    """What a call ends with whose client takes nothing of what it is sent. It hears of it when it reads again."""
    return RateLimited("What was sent is not read.")


class Call:
    """`headers` are the call's metadata as HTTP's headers would be, `number` its request id, `named` the language its
    request names, `doing` what log lines say of it."""

    __slots__ = ("_vouch", "_write_now", "context", "doing", "headers", "named", "number", "peer", "status")

    def __init__(self, context: Context) -> None:
        self.context = context
        self._write_now: Callable[[bytes], bool] = getattr(context, "write_now", _never)
        self._vouch: Callable[[], None] = getattr(context, "vouch", _unasked)
        self.doing = begin()
        self.headers = _headers(tuple(context.invocation_metadata() or ()))
        self.number = asgi.request_id(dict(self.headers))
        self.named: object = None
        self.peer = address_of(context.peer())
        self.status = 499  # what metrics count, as of an HTTP answer: nobody was there to hear one

    async def identify(self, authenticator: Authenticator) -> Principal:
        """Raises as `Authenticator`, and Forbidden."""
        principal = authenticator.cached(self.headers, self.peer)
        if principal is None:
            principal = await authenticator.authenticate(self.headers, self.peer)
        self._vouch()
        belongs_to(principal.tenant)
        require_scope(principal, "chat")
        return principal

    def language(self, named: object = None) -> str:
        return languages.wanted(self.named if named is None else named, dict(self.headers).get(b"accept-language"))

    @asynccontextmanager
    async def deadline(self) -> AsyncIterator[None]:
        """The caller's: what runs inside is cancelled then. Raises DeadlineExceeded."""
        left: Any = self.context.time_remaining()  # None without one, whatever the stubs say
        if left is None:
            yield
            return
        limit = asyncio.timeout(left)
        try:
            async with limit:
                yield
        except TimeoutError:
            if not limit.expired():
                raise
            raise DeadlineExceeded from None

    async def read(self) -> bytes:
        """The one message of a call that has one. Raises InvalidRequest."""
        limit = asyncio.timeout(SENT_WITHIN)
        try:
            async with limit:
                raw = await self.next()
        except TimeoutError:
            if not limit.expired():
                raise
            raise InvalidRequest(f"The message did not come within {SENT_WITHIN:.0f} s.") from None
        if raw is grpc.aio.EOF:  # type: ignore[attr-defined]
            raise InvalidRequest("The call has no message.")
        return bytes(raw)

    async def next(self) -> Any:
        """The next message, or EOF. Raises InvalidRequest: the transport cannot take it, and has told why."""
        try:
            return await self.context.read()
        except grpc.aio.AbortError:
            raise InvalidRequest("The message cannot be taken.") from None

    def written(self, message: bytes) -> bool:
        """Whether it could be sent without waiting, which needs no timer. Raises grpc.aio.InternalError: nobody is
        there any more."""
        return self._write_now(message)

    async def write(self, message: bytes) -> None:
        """Raises RateLimited: it is not read; CancelledError: nobody is there any more."""
        try:
            if self._write_now(message):
                return
        except grpc.aio.InternalError:
            raise asyncio.CancelledError from None
        limit = asyncio.timeout(STALLED)
        try:
            async with limit:
                await self.context.write(message)
        except grpc.aio.InternalError:
            raise asyncio.CancelledError from None
        except TimeoutError:
            if not limit.expired():
                raise
            raise slow_reader() from None

    def about(self, start: Start) -> Metadata:
        """What every answer of a turn says of it."""
        turn = [(name.decode("ascii"), value.decode("ascii")) for name, value in asgi.turn_headers(start)]
        return (*turn, ("request-id", self.number))

    async def refuse(self, error: EngineError, language: str) -> None:
        """Ends the call with the error's status."""
        translated = errors.translation(error)
        self.status = translated.status
        said = [
            ("clawdbot-code", error.code),
            ("request-id", self.number),
            ("retryable", "true" if error.retryable else "false"),
            *((name.lower(), value) for name, value in errors.headers(error) if name.startswith(_SAID)),
        ]
        if error.param is not None:
            said.append(("clawdbot-param", asgi.header_value(error.param).decode("ascii")))
        code = grpc.StatusCode[translated.grpc]
        try:
            await self.context.abort(code, languages.said(error, language), tuple(said))
        except grpc.aio.InternalError:
            raise asyncio.CancelledError from None


def _never(message: bytes) -> bool:
    """The library's context has to be waited for."""
    return False


def _unasked() -> None:
    """The library has no use for it."""


_SAID: Final = ("Retry-After", "X-Clawdbot-Decision", "x-ratelimit-")


async def answered(call: Call, work: Awaitable[None]) -> None:
    """Does a method's work: whatever goes wrong in it becomes the call's status."""
    try:
        await work
        call.status = 200
    except grpc.aio.InternalError:  # the client left in this very moment
        raise asyncio.CancelledError from None
    except Exception as error:  # noqa: BLE001  # the border: everything becomes a status
        await call.refuse(errors.public(error), call.language())


def address_of(peer: str) -> str | None:
    """Of gRPC's name for the other end (`ipv4:192.0.2.1:443`, `ipv6:%5B::1%5D:443`); None on a unix socket."""
    kind, _, rest = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return None
    return unquote(rest).rpartition(":")[0].strip("[]")


def _headers(metadata: Sequence[Any]) -> RawHeaders:
    return [
        (name.encode("ascii"), value if isinstance(value, bytes) else value.encode("latin-1", "replace"))
        for name, value in metadata
        if name not in FORWARDED
    ]
