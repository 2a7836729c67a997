"""A model's service behind HTTP: what one call is, from the first byte sent to the last one read, whatever the format.

A format's adapter says what goes out (`_outgoing`) and who reads what comes back (`_answer`); deadlines, statuses, the
reuse of connections and the probe are the same for all.
"""

from __future__ import annotations

import asyncio
import re
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterable, Mapping
from contextlib import suppress
from typing import Final, NamedTuple, Protocol, TypeVar
from urllib.parse import SplitResult, urlsplit

import msgspec

from adapters.base import AdapterConfig, BaseModelAdapter, InvalidAdapterConfig
from adapters.refusals import refusal
from engine.bursts import singly
from engine.deadline import Deadline
from engine.errors import EngineError, UpstreamError, UpstreamTimeout
from engine.outbound import MAX_BODY, SILENT, UNBEGUN, UNFINISHED, HttpClient, HttpResponse
from engine.types import Burst, Delta, End, ModelCall

MAX_COMPLAINT: Final = 64 * 1024
COMPLAINT_SECONDS: Final = 2.0
LAST_BYTES_SECONDS: Final = 0.05

# What a probe makes of a status: the service is there and answers, though it knows no such route or asks to wait.
# Nobody is let in with 401 and 403, and nothing behind a redirect is ever asked.
THERE: Final = frozenset({400, 404, 405, 406, 410, 422, 429, 501})

PORTS: Final = {"http": 80, "https": 443}

# Whom a request is for and where it ends is said by the client alone.
CLIENTS_OWN: Final = frozenset(
    "host content-length transfer-encoding connection keep-alive te trailer upgrade expect proxy-authorization "
    "proxy-connection".split()
)
TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2

Result = TypeVar("Result")
Struct = TypeVar("Struct", bound=msgspec.Struct)


class Outgoing(NamedTuple):
    """One request, whole."""

    url: str
    headers: Mapping[str, str]
    body: bytes


class AnswerReader(Protocol):
    """Reads one answer: a stream piece by piece (`feed`, then `finish`) or the whole of it (`read`), then `end`.

    All raise UpstreamError when the service says so, makes no sense or stops without an end."""

    @property
    def done(self) -> bool:
        """The service said that nothing follows."""

    def feed(self, piece: bytes) -> Iterable[Delta]: ...

    def finish(self) -> Iterable[Delta]:
        """What is still to say where nothing follows; asked for once. Raises UpstreamError if that is no end."""

    def read(self, data: bytes) -> Iterable[Delta]: ...

    def end(self) -> End: ...


class HttpAdapter(BaseModelAdapter):
    """For inheritance. `__init__` of a format sets `_headers`, and `_probe_url` where it has the capability."""

    _headers: Mapping[str, str]
    _probe_url: str

    def __init__(self, config: AdapterConfig, http: HttpClient) -> None:
        super().__init__(config, http)
        self._limits = config.limits
        self._timeouts = self._limits.timeouts

    @property
    def destination(self) -> str:
        return origin(getattr(self, "_probe_url", "") or self.config.endpoint)

    @abstractmethod
    def _outgoing(self, call: ModelCall) -> Outgoing:
        """Raises NotSupported for what the format cannot carry."""

    @abstractmethod
    def _answer(self, call: ModelCall) -> AnswerReader: ...

    def _is_whole(self, response: HttpResponse) -> bool:
        """Some services do not stream and answer with the whole object all the same."""
        return response.headers.get("Content-Type", "").startswith("application/json")

    def stream(self, call: ModelCall) -> AsyncGenerator[Delta | End, None]:
        return singly(self._pieces(call))

    def bursts(self, call: ModelCall) -> AsyncGenerator[Delta | Burst | End, None]:
        """A format that makes something else of its stream is asked for that."""
        return self._pieces(call) if type(self).stream is HttpAdapter.stream else super().bursts(call)

    async def _pieces(self, call: ModelCall) -> AsyncGenerator[Delta | Burst | End, None]:
        """What holds no delta, a comment or a role, is no sign of life. A plain answer is all or nothing, so the time
        to the first token does not bound it, unless a stream was asked for."""
        clock, limits = asyncio.get_running_loop().time, self._limits
        began = clock()
        streams = call.request.stream
        end_by = began + (limits.stream if streams else limits.plain)
        begin_by = min(began + limits.first_token, end_by) if streams else end_by
        url, headers, body = self._outgoing(call)
        response = await by(begin_by, self.http.post(url, headers=headers, body=body, timeouts=self._timeouts))
        del url, headers, body  # the whole conversation: not for as long as its answer takes
        try:
            if not 200 <= response.status < 300:
                raise await self._refusal(response, begin_by)
            response.expect_by(begin_by, UNBEGUN if streams else UNFINISHED)
            answer = self._answer(call)
            if streams and not self._is_whole(response):
                chunks = response.chunks()
                async for chunk in chunks:
                    deltas, failure = _taken(answer, chunk)
                    if deltas:
                        yield self._leaving(answer, deltas, last=answer.done and failure is None)
                    if failure is not None:
                        raise failure
                    if answer.done:
                        await _read_out(chunks)
                        break
                    if deltas:
                        next_by = clock() + limits.idle
                        response.expect_by(*((next_by, SILENT) if next_by < end_by else (end_by, UNFINISHED)))
                    del chunk, deltas  # they are gone on their way before the next one comes
                for delta in () if answer.done else answer.finish():
                    yield delta
            else:
                deltas = list(answer.read(await response.read()))
                if len(deltas) == 1 and not call.request.stream:
                    end = answer.end()
                    yield Burst(deltas, last=True)
                    yield end
                    return
                if deltas:
                    yield deltas[0] if len(deltas) == 1 else Burst(deltas)
            yield answer.end()
        finally:
            await response.close()

    def _leaving(self, answer: AnswerReader, deltas: list[Delta], *, last: bool) -> Delta | Burst:
        """What arrived together; of a single delta with which the end came it is said that none follows."""
        piece = self._together(answer, deltas)
        return Burst(deltas, last=True) if last and type(piece) is Delta else piece

    def _together(self, answer: AnswerReader, deltas: list[Delta]) -> Delta | Burst:
        """What arrived together. A format that may hand on bytes does it here."""
        return deltas[0] if len(deltas) == 1 else Burst(deltas)

    async def _whole(self, url: str, body: bytes, max_bytes: int = MAX_BODY) -> bytes:
        """The body of an answer in one piece."""
        end_by = asyncio.get_running_loop().time() + self._limits.plain
        response = await by(end_by, self.http.post(url, headers=self._headers, body=body, timeouts=self._timeouts))
        try:
            if not 200 <= response.status < 300:
                raise await self._refusal(response, end_by)
            response.expect_by(end_by, UNFINISHED)
            return await response.read(max_bytes)
        finally:
            await response.close()

    async def probe(self) -> None:
        """Asks for the list of models: whatever it says, and also that there is none, comes of a service at work."""
        began = asyncio.get_running_loop().time()
        url, headers = self._probing()
        request = self.http.get(url, headers=headers, timeouts=self._timeouts)
        response = await by(began + self._limits.probe, request)
        try:
            if not 200 <= response.status < 300:
                error = await self._refusal(response, began + self._limits.probe)
                if not self._is_there(response.status, error):
                    raise error
                return
            await _read_out(response.chunks())
        finally:
            await response.close()

    def _probing(self) -> tuple[str, Mapping[str, str]]:
        return self._probe_url, self._headers

    async def _refusal(self, response: HttpResponse, deadline: float) -> EngineError:
        """Whatever becomes of the explanation, the status alone says enough, and another instance may be waiting."""
        body = b""
        response.expect_by(min(deadline, asyncio.get_running_loop().time() + COMPLAINT_SECONDS), UNFINISHED)
        with suppress(UpstreamError):
            body = await response.read(MAX_COMPLAINT)
        return self._refused(response.status, response.headers, body)

    def _refused(self, status: int, headers: Mapping[str, str], body: bytes) -> EngineError:
        """For a format with errors of its own."""
        return refusal(status, headers, body, self.config.api_key)

    def _is_there(self, status: int, error: EngineError) -> bool:
        """Whether a service that refuses a probe is at work; `error` is what a call would have raised."""
        return status in THERE


def _taken(answer: AnswerReader, chunk: bytes) -> tuple[list[Delta], EngineError | None]:
    """What a piece of a stream says, with the end all that is still to say, and what is wrong behind that."""
    deltas: list[Delta] = []
    try:
        deltas.extend(answer.feed(chunk))
        if answer.done:
            deltas.extend(answer.finish())
    except EngineError as error:
        return deltas, error
    return deltas, None


async def by(deadline: float, work: Awaitable[Result]) -> Result:
    """Raises UpstreamTimeout when the loop's clock passes `deadline`."""
    try:
        with Deadline(deadline):
            return await work
    except TimeoutError as error:
        raise UpstreamTimeout(UNBEGUN) from error


def address(endpoint: str) -> SplitResult:
    """The parts of an absolute http or https address. Raises InvalidAdapterConfig."""
    try:
        parts = urlsplit(endpoint.strip())
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise InvalidAdapterConfig(f"endpoint: {endpoint!r} is not an http or https address.")
    return parts


def origin(endpoint: str) -> str:
    """`scheme://host:port` of an address, in one spelling. Raises InvalidAdapterConfig."""
    parts = address(endpoint)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}:{parts.port or PORTS[parts.scheme]}"


def options_of(config: AdapterConfig, kind: type[Struct]) -> Struct:
    """Raises InvalidAdapterConfig."""
    try:
        return msgspec.convert(config.options, kind)
    except msgspec.ValidationError as error:
        raise InvalidAdapterConfig(f"options: {error}") from None


def sendable(headers: Mapping[str, str], credential: str) -> dict[str, str]:
    """A copy. Raises InvalidAdapterConfig that names the header, or `api_key` for the one named `credential`."""
    for name, value in headers.items():
        if name.lower() in CLIENTS_OWN or not TOKEN.fullmatch(name):
            raise InvalidAdapterConfig(f"options: the header {name!r} is not for the options to say.")
        if not (name.isascii() and name.isprintable() and value.isascii() and value.isprintable()):
            what = "api_key" if name == credential else f"options: the header {name!r}"
            raise InvalidAdapterConfig(f"{what} holds signs that a header cannot carry.")
    return dict(headers)


async def _read_out(chunks: AsyncIterator[bytes]) -> None:
    """The end was said; its last bytes follow in a moment. With them read the connection can serve again."""
    with suppress(UpstreamError, TimeoutError):
        with Deadline(asyncio.get_running_loop().time() + LAST_BYTES_SECONDS):
            async for _ in chunks:
                pass
