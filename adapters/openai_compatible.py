"""The OpenAI chat format over HTTP: OpenAI itself and everybody who speaks like it. A vendor is a row, not code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import suppress
from typing import Final, Literal, TypeVar
from urllib.parse import urlsplit, urlunsplit

import msgspec

from adapters.base import AdapterConfig, BaseModelAdapter, InvalidAdapterConfig
from adapters.openai_answers import Answer, StreamedAnswer
from adapters.refusals import refusal
from engine.errors import EngineError, UpstreamError, UpstreamTimeout
from engine.outbound import HttpClient, HttpResponse, Timeouts
from engine.types import Delta, End, Json, Message, ModelCall

MAX_CONNECT_SECONDS: Final = 10.0
MAX_COMPLAINT: Final = 64 * 1024
LAST_BYTES_SECONDS: Final = 0.05
NEGLIGIBLE: Final = 0.05  # of the timeout: so much later it may pass, for which ordinary streams need no timer
SUFFIXES: Final = ("/chat/completions", "/chat")

Result = TypeVar("Result")

_encode = msgspec.json.Encoder().encode


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a vendor differs. `send_reasoning`: earlier reasoning goes back with the conversation; `stream_usage`: ask
    for the usage of streams; `headers`: more of them, or others (`{"api-key": "…"}`)."""

    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    send_reasoning: bool = False
    stream_usage: bool = True
    headers: dict[str, str] = {}


def chat_url(endpoint: str) -> str:
    """`<base>/chat/completions`, whether the endpoint is the base, ends in `/chat` or is the whole address already.

    A query is kept. Raises InvalidAdapterConfig unless it is an absolute http or https address."""
    try:
        parts = urlsplit(endpoint.strip())
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise InvalidAdapterConfig(f"endpoint: {endpoint!r} is not an http or https address.")
    path = parts.path.rstrip("/")
    for suffix in SUFFIXES:
        if path.endswith(suffix):
            path = path.removesuffix(suffix).rstrip("/")
            break
    return urlunsplit((parts.scheme, parts.netloc, f"{path}/chat/completions", parts.query, ""))


class OpenAICompatibleAdapter(BaseModelAdapter):
    name = "openai_compatible"
    label = "OpenAI-compatible"
    capabilities = frozenset({"chat", "tools", "reasoning", "refusal", "logprobs", "choices", "usage"})

    def __init__(self, config: AdapterConfig, http: HttpClient) -> None:
        super().__init__(config, http)
        self._url = chat_url(config.endpoint)
        try:
            self._options = msgspec.convert(config.options, Options)
        except msgspec.ValidationError as error:
            raise InvalidAdapterConfig(f"options: {error}") from None
        self._headers = _headers(config.api_key, self._options)
        self._timeouts = Timeouts(min(MAX_CONNECT_SECONDS, config.timeout), config.timeout)

    async def stream(self, call: ModelCall) -> AsyncGenerator[Delta | End, None]:
        """`config.timeout` bounds the whole of a plain call, of a stream the time to its first delta and from each to
        the next. What holds no delta, a comment or a role, is no sign of life."""
        clock = asyncio.get_running_loop().time
        heard = clock()
        deadline = heard + self.config.timeout
        request = self.http.post(self._url, headers=self._headers, body=self._body(call), timeouts=self._timeouts)
        response = await _by(deadline, request)
        try:
            if not 200 <= response.status < 300:
                raise await self._refusal(response, deadline)
            if call.request.stream and not _is_json(response):
                answer: Answer = (streamed := StreamedAnswer())
                chunks = response.chunks()
                while chunk := await self._next(chunks, clock() - heard):
                    for delta in streamed.feed(chunk):
                        yield delta
                        heard = clock()
                    if streamed.done:
                        await _read_out(chunks)
                        break
                for delta in streamed.finish():
                    yield delta
            else:
                answer = Answer()
                for delta in answer.read(await _by(deadline, response.read())):
                    yield delta
            yield answer.end()
        finally:
            await response.close()

    def _body(self, call: ModelCall) -> bytes:
        request = call.request
        body: Json = {**request.params, "model": call.model, "messages": self._messages(call.messages)}
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.max_tokens is not None:
            body[self._options.max_tokens_field] = request.max_tokens
        if request.tools:
            body["tools"] = request.tools
        if request.stream:
            body["stream"] = True
            if self._options.stream_usage:
                body["stream_options"] = {"include_usage": True}
        return _encode(body)

    def _messages(self, messages: list[Message]) -> list[Message]:
        if self._options.send_reasoning or all(message.reasoning_content is None for message in messages):
            return messages
        return [msgspec.structs.replace(message, reasoning_content=None) for message in messages]

    async def _next(self, chunks: AsyncIterator[bytes], silent: float) -> bytes:
        """The next piece, empty after the last, when there was no delta for so many seconds. The HTTP client's own
        limit begins anew with each piece, which right after a delta is what is wanted and costs nothing."""
        if silent < self.config.timeout * NEGLIGIBLE:
            return await anext(chunks, b"")
        left = self.config.timeout - silent
        if left <= 0:
            raise UpstreamTimeout
        return await _by(asyncio.get_running_loop().time() + left, anext(chunks, b""))

    async def _refusal(self, response: HttpResponse, deadline: float) -> EngineError:
        """Whatever becomes of the explanation, the status alone says enough."""
        body = b""
        with suppress(UpstreamError):
            body = await _by(deadline, response.read(MAX_COMPLAINT))
        return refusal(response.status, response.headers, body, self.config.api_key)


async def _by(deadline: float, work: Awaitable[Result]) -> Result:
    """Raises UpstreamTimeout when the loop's clock passes `deadline`."""
    try:
        async with asyncio.timeout_at(deadline):
            return await work
    except TimeoutError as error:
        raise UpstreamTimeout from error


def _headers(api_key: str, options: Options) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    headers.update(options.headers)
    for name, value in headers.items():
        if not (name.isascii() and name.isprintable() and value.isascii() and value.isprintable()):
            what = "api_key" if name == "Authorization" else f"options: the header {name!r}"
            raise InvalidAdapterConfig(f"{what} holds signs that a header cannot carry.")
    return headers


def _is_json(response: HttpResponse) -> bool:
    """Some services do not stream and answer with the whole object all the same."""
    return response.headers.get("Content-Type", "").startswith("application/json")


async def _read_out(chunks: AsyncIterator[bytes]) -> None:
    """The end was said; its last bytes follow in a moment. With them read the connection can serve again."""
    with suppress(UpstreamError, TimeoutError):
        async with asyncio.timeout(LAST_BYTES_SECONDS):
            async for _ in chunks:
                pass
