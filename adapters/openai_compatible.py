"""The OpenAI chat format over HTTP: OpenAI itself and everybody who speaks like it. A vendor is a row, not code."""

from __future__ import annotations

from typing import ClassVar, Final, Literal
from urllib.parse import urlunsplit

import msgspec

from adapters import openai_embeddings
from adapters.base import AdapterConfig
from adapters.openai_answers import StreamedAnswer
from adapters.service import AnswerReader, HttpAdapter, Outgoing, address, options_of, sendable
from engine.outbound import HttpClient
from engine.types import EmbedCall, Embedded, Json, Message, ModelCall

FOREIGN: Final = frozenset({"thinking", "top_k"})  # of the Messages format
CACHE: Final = "cache_control"
SUFFIXES: Final = ("/chat/completions", "/chat", "/completions", "/embeddings")

_encode = msgspec.json.Encoder().encode


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a vendor differs. `send_reasoning`: earlier reasoning goes back with the conversation; `stream_usage`: ask
    for the usage of streams; `headers`: more of them, or others (`{"api-key": "…"}`); `extra_content`: which of the
    things beside a call of a tool go back; `cache_control`: marks of prompt caching are sent; `params`: which of the
    parameters that OpenAI does not have (`FOREIGN`) are."""

    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    send_reasoning: bool = False
    stream_usage: bool = True
    headers: dict[str, str] = {}
    extra_content: tuple[str, ...] = ("google",)
    cache_control: bool = False
    params: tuple[Literal["thinking", "top_k"], ...] = ()


def url_of(endpoint: str, route: str) -> str:
    """`<base>/<route>`, whether the endpoint is the base, ends in `/chat` or is one of the routes' whole address.

    A query is kept. Raises InvalidAdapterConfig unless it is an absolute http or https address."""
    parts = address(endpoint)
    path = parts.path.rstrip("/")
    for suffix in SUFFIXES:
        if path.endswith(suffix):
            path = path.removesuffix(suffix).rstrip("/")
            break
    return urlunsplit((parts.scheme, parts.netloc, f"{path}/{route}", parts.query, ""))


class OpenAICompatibleAdapter(HttpAdapter):
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
        self._probe_url = url_of(config.endpoint, "models")
        self._options = options_of(config, self.accepts)
        self._headers = _headers(config.api_key, self._options)

    async def embed(self, call: EmbedCall) -> Embedded:
        data = await self._whole(self._embeddings_url, openai_embeddings.body(call), openai_embeddings.max_bytes(call))
        return await openai_embeddings.read(data, call)

    def _outgoing(self, call: ModelCall) -> Outgoing:
        return Outgoing(self._url, self._headers, self._body(call))

    def _answer(self, call: ModelCall) -> AnswerReader:
        return StreamedAnswer()

    def _body(self, call: ModelCall) -> bytes:
        request = call.request
        body: Json = {**self._params(request.params), "model": call.model, "messages": self._messages(call.messages)}
        body.pop("stream_options", None)  # the caller's; what is asked here is said below
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.max_tokens is not None:
            body[self._options.max_tokens_field] = request.max_tokens
        if request.tools:
            body["tools"] = [self._unmarked(tool) for tool in request.tools]
        if request.stream:
            body["stream"] = True
            if self._options.stream_usage:
                body["stream_options"] = {"include_usage": True}
        return _encode(body)

    def _params(self, params: Json) -> Json:
        """Services have no common word for no thinking at all, and models that do not think refuse every one: then
        nothing is said of it."""
        if FOREIGN.isdisjoint(params):
            return params
        kept = {key: value for key, value in params.items() if key not in FOREIGN or key in self._options.params}
        if params.get("thinking", {}).get("type") == "disabled":
            kept.pop("reasoning_effort", None)
        return kept

    def _messages(self, messages: list[Message]) -> list[Message]:
        """Without what this service did not say itself and could refuse. The same list where there is nothing such."""
        if all(map(_plain, messages)):
            return messages
        return [message if _plain(message) else self._own(message) for message in messages]

    def _own(self, message: Message) -> Message:
        options, content = self._options, message.content
        if isinstance(content, list):
            content = [self._unmarked(part) for part in content]
        return msgspec.structs.replace(
            message,
            content=content,
            reasoning_content=message.reasoning_content if options.send_reasoning else None,
            tool_calls=[self._own_call(call) for call in message.tool_calls] if message.tool_calls else None,
            extra_content=None,
        )

    def _unmarked(self, marked: Json) -> Json:
        """Without a mark of prompt caching that this service would not know."""
        if self._options.cache_control or CACHE not in marked:
            return marked
        return {key: value for key, value in marked.items() if key != CACHE}

    def _own_call(self, call: Json) -> Json:
        call = self._unmarked(call)
        extra = call.get("extra_content")
        if extra is None:
            return call
        kept = {key: extra[key] for key in self._options.extra_content if key in extra}
        others = {key: value for key, value in call.items() if key != "extra_content"}
        return {**others, "extra_content": kept} if kept else others


def _plain(message: Message) -> bool:
    return (
        message.reasoning_content is None
        and not message.tool_calls
        and not isinstance(message.content, list)
        and message.extra_content is None
    )


def _headers(api_key: str, options: Options) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    return sendable({**headers, **options.headers}, "Authorization")
