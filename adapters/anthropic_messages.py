"""The Anthropic Messages format over HTTP (`POST <base>/messages`).

Source: the Claude API reference, Messages, versions of 2023-06-01. What a conversation and a request become is in
`adapters/anthropic_requests.py`, what is made of answers in `adapters/anthropic_answers.py`.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import SplitResult, urlunsplit

from adapters.anthropic_answers import MessageReader
from adapters.anthropic_requests import Options, body
from adapters.base import AdapterConfig
from adapters.service import AnswerReader, HttpAdapter, Outgoing, address, options_of, sendable
from engine.outbound import HttpClient
from engine.types import ModelCall

HOME: Final = "https://api.anthropic.com/v1"
ROUTE: Final = "/messages"
CREDENTIALS: Final = {"x-api-key": ("x-api-key", ""), "bearer": ("Authorization", "Bearer ")}


class AnthropicMessagesAdapter(HttpAdapter):
    """One choice an answer. Thinking comes as reasoning; what a call of a tool needs of it to be answered travels with
    the call (`extra_content`). Tools that the service runs itself are its own business: none of it is handed out."""

    name = "anthropic_messages"
    label = "Anthropic Messages"
    provider = "anthropic"
    capabilities = frozenset({"chat", "tools", "reasoning", "usage", "probe"})

    def __init__(self, config: AdapterConfig, http: HttpClient) -> None:
        super().__init__(config, http)
        base = _base(config.endpoint)
        self._url = urlunsplit(base._replace(path=base.path + ROUTE))
        self._probe_url = urlunsplit(base._replace(path=base.path + "/models"))
        self._options = options_of(config, Options)
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "anthropic-version": self._options.version,
        }
        if self._options.beta:
            headers["anthropic-beta"] = ",".join(self._options.beta)
        name, prefix = CREDENTIALS[self._options.credential]
        if config.api_key:
            headers[name] = prefix + config.api_key
        self._headers = sendable({**headers, **self._options.headers}, name)

    def _outgoing(self, call: ModelCall) -> Outgoing:
        return Outgoing(self._url, self._headers, body(call, self._options))

    def _answer(self, call: ModelCall) -> AnswerReader:
        return MessageReader()


def _base(endpoint: str) -> SplitResult:
    """An endpoint may be the base (`…/v1`) or the whole address; empty: the vendor's own. A query is kept."""
    parts = address(endpoint or HOME)
    path = parts.path.rstrip("/").removesuffix(ROUTE)
    return parts._replace(path=path, fragment="")
