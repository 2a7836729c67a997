"""The OpenAI chat format over HTTP: OpenAI itself and everybody who speaks like it. A vendor is a row, not code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import suppress
from typing import ClassVar, Final, Literal, TypeVar
from urllib.parse import urlsplit, urlunsplit

import msgspec

from adapters import openai_embeddings
from adapters.base import AdapterConfig, BaseModelAdapter, InvalidAdapterConfig
from adapters.openai_answers import Answer, StreamedAnswer
from adapters.refusals import refusal
from engine.errors import EngineError, UpstreamError, UpstreamTimeout
from engine.outbound import MAX_BODY, SILENT, UNBEGUN, UNFINISHED, HttpClient, HttpResponse
from engine.types import Delta, EmbedCall, Embedded, End, Json, Message, ModelCall

MAX_COMPLAINT: Final = 64 * 1024
COMPLAINT_SECONDS: Final = 2.0
LAST_BYTES_SECONDS: Final = 0.05
SUFFIXES: Final = ("/chat/completions", "/chat", "/completions", "/embeddings")

# What a probe makes of a status: the service is there and answers, though it knows no such route or asks to wait.
# Nobody is let in with 401 and 403, and nothing behind a redirect is ever asked.
THERE: Final = frozenset({400, 404, 405, 406, 410, 422, 429, 501})

Result = TypeVar("Result")

_encode = msgspec.json.Encoder().encode


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a vendor differs. `send_reasoning`: earlier reasoning goes back with the conversation; `stream_usage`: ask
    for the usage of streams; `headers`: more of them, or others (`{"api-key": "…"}`)."""

    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    send_reasoning: bool = False
    stream_usage: bool = True
    headers: dict[str, str] = {}


def url_of(endpoint: str, route: str) -> str:
    """`<base>/<route>`, whether the endpoint is the base, ends in `/chat` or is one of the routes' whole address.

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
    return urlunsplit((parts.scheme, parts.netloc, f"{path}/{route}", parts.query, ""))


class OpenAICompatibleAdapter(BaseModelAdapter):
    name = "openai_compatible"
    label = "OpenAI-compatible"
    capabilities = frozenset(
        {"chat", "tools", "reasoning", "refusal", "logprobs", "choices", "usage", "embeddings", "probe"}
    )
    route: ClassVar[str] = "chat/completions"
    accepts: ClassVar[type[Options]] = Options

    def __init__(self, config: AdapterConfig, http: HttpClient) -> None:
        super().__init__(config, http)
        self._url = url_of(config.endpoint, self.route)
        self._embeddings_url = url_of(config.endpoint, "embeddings")
        self._models_url = url_of(config.endpoint, "models")
        try:
            self._options = msgspec.convert(config.options, self.accepts)
        except msgspec.ValidationError as error:
            raise InvalidAdapterConfig(f"options: {error}") from None
        self._headers = _headers(config.api_key, self._options)
        self._limits = config.limits
        self._timeouts = self._limits.timeouts

    async def stream(self, call: ModelCall) -> AsyncGenerator[Delta | End, None]:
        """What holds no delta, a comment or a role, is no sign of life. A plain answer is all or nothing, so the time
        to the first token does not bound it, unless a stream was asked for."""
        clock, limits = asyncio.get_running_loop().time, self._limits
        began = clock()
        streams = call.request.stream
        end_by = began + (limits.stream if streams else limits.plain)
        begin_by = min(began + limits.first_token, end_by) if streams else end_by
        request = self.http.post(self._url, headers=self._headers, body=self._body(call), timeouts=self._timeouts)
        response = await _by(begin_by, request)
        try:
            if not 200 <= response.status < 300:
                raise await self._refusal(response, begin_by)
            response.expect_by(begin_by, UNBEGUN if streams else UNFINISHED)
            if streams and not _is_json(response):
                answer: Answer = (streamed := StreamedAnswer())
                chunks = response.chunks()
                async for chunk in chunks:
                    silent = True
                    for delta in streamed.feed(chunk):
                        yield delta
                        silent = False
                    if streamed.done:
                        await _read_out(chunks)
                        break
                    if not silent:
                        next_by = clock() + limits.idle
                        response.expect_by(*((next_by, SILENT) if next_by < end_by else (end_by, UNFINISHED)))
                for delta in streamed.finish():
                    yield delta
            else:
                answer = Answer()
                for delta in answer.read(await response.read()):
                    yield delta
            yield answer.end()
        finally:
            await response.close()

    async def embed(self, call: EmbedCall) -> Embedded:
        data = await self._whole(self._embeddings_url, openai_embeddings.body(call), openai_embeddings.max_bytes(call))
        return await openai_embeddings.read(data, call)

    async def _whole(self, url: str, body: bytes, max_bytes: int = MAX_BODY) -> bytes:
        """The body of an answer in one piece."""
        end_by = asyncio.get_running_loop().time() + self._limits.plain
        response = await _by(end_by, self.http.post(url, headers=self._headers, body=body, timeouts=self._timeouts))
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
        request = self.http.get(self._models_url, headers=self._headers, timeouts=self._timeouts)
        response = await _by(began + self._limits.probe, request)
        try:
            status = response.status
            if not 200 <= status < 300 and status not in THERE:
                raise refusal(status, response.headers, b"")
            await _read_out(response.chunks())
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

    async def _refusal(self, response: HttpResponse, deadline: float) -> EngineError:
        """Whatever becomes of the explanation, the status alone says enough, and another instance may be waiting."""
        body = b""
        response.expect_by(min(deadline, asyncio.get_running_loop().time() + COMPLAINT_SECONDS), UNFINISHED)
        with suppress(UpstreamError):
            body = await response.read(MAX_COMPLAINT)
        return refusal(response.status, response.headers, body, self.config.api_key)


async def _by(deadline: float, work: Awaitable[Result]) -> Result:
    """Raises UpstreamTimeout when the loop's clock passes `deadline`."""
    try:
        async with asyncio.timeout_at(deadline):
            return await work
    except TimeoutError as error:
        raise UpstreamTimeout(UNBEGUN) from error


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
