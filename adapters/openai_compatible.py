"""The OpenAI chat format over HTTP: OpenAI itself and everybody who speaks like it. A vendor is a row, not code."""

from __future__ import annotations

from typing import ClassVar, Final
from urllib.parse import urlunsplit

from adapters import openai_embeddings, openai_requests
from adapters.base import AdapterConfig
from adapters.openai_answers import StreamedAnswer
from adapters.openai_requests import Options
from adapters.openai_verbatim import Verbatim
from adapters.service import AnswerReader, HttpAdapter, Outgoing, address, options_of, sendable
from engine.outbound import HttpClient
from engine.types import Burst, Delta, EmbedCall, Embedded, ModelCall

SUFFIXES: Final = ("/chat/completions", "/chat", "/completions", "/embeddings")
SPOKEN_AT: Final = "openai"  # the edge whose callers are answered in this format
CREDENTIALS: Final = {
    "bearer": ("Authorization", "Bearer "),
    "api-key": ("api-key", ""),
    "x-api-key": ("x-api-key", ""),
}


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
    provider = "openai"
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
        asked = call.request
        if not call.shown_as or asked.edge != SPOKEN_AT or not self._options.verbatim:
            return StreamedAnswer(self.config.api_key)
        hidden = (self.config.api_key, call.model)
        return StreamedAnswer(self.config.api_key, Verbatim(call.shown_as, hidden, asked.stream))

    def _together(self, answer: AnswerReader, deltas: list[Delta]) -> Delta | Burst:
        verbatim = answer.verbatim if isinstance(answer, StreamedAnswer) else None
        kept = verbatim.burst(deltas) if verbatim is not None else None
        return super()._together(answer, deltas) if kept is None else Burst(deltas, verbatim=kept)

    def _body(self, call: ModelCall) -> bytes:
        return openai_requests.body(call, self._options)


def _headers(api_key: str, options: Options) -> dict[str, str]:
    name, prefix = CREDENTIALS[options.credential]
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    if api_key:
        headers[name] = f"{prefix}{api_key}"
    return sendable({**headers, **options.headers}, name)
