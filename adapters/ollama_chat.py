"""Ollama's own chat: a line of JSON for each piece.

Source: Ollama's API reference, `POST /api/chat` and `GET /api/version`."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlunsplit

import msgspec

from adapters.base import AdapterConfig
from adapters.conversations import (
    INSTRUCTIONS,
    address_of,
    arguments_of,
    data_of,
    function_of,
    parts_of,
    refuse,
    refuse_tiers,
    stops_of,
    tool_choice,
)
from adapters.ollama_answers import OllamaAnswer
from adapters.service import AnswerReader, HttpAdapter, Outgoing, address, options_of, sendable
from engine.errors import NotSupported
from engine.outbound import HttpClient, HttpResponse
from engine.types import ChatRequest, Json, Message, ModelCall

SUFFIXES: Final = ("/api/chat", "/api")
UNKNOWN: Final = ("n", "logit_bias", "web_search_options")
PLAIN: Final = ("top_p", "top_k", "seed", "presence_penalty", "frequency_penalty")
EFFORTS: Final[dict[str, bool | str]] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
}

_encode = msgspec.json.Encoder().encode


class OllamaOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`options`: the model's own, such as `num_ctx`, where the request does not say; `think`: where it names no effort;
    `keep_alive`: how long the model stays loaded; `truncate`: drop what is too long without a word; `send_reasoning`:
    earlier thoughts go back with the conversation; `headers`: more of them, or others."""

    options: Json = {}
    think: bool | str | None = None
    keep_alive: int | float | str | None = None
    truncate: bool = False
    send_reasoning: bool = False
    headers: dict[str, str] = {}


class OllamaChatAdapter(HttpAdapter):
    name = "ollama_chat"
    label = "Ollama"
    provider = "ollama"
    capabilities = frozenset({"chat", "tools", "reasoning", "logprobs", "usage", "probe"})

    def __init__(self, config: AdapterConfig, http: HttpClient) -> None:
        super().__init__(config, http)
        parts = address(config.endpoint)
        base = parts.path.rstrip("/")
        for suffix in SUFFIXES:
            base = base.removesuffix(suffix)
        self._url = urlunsplit((parts.scheme, parts.netloc, f"{base}/api/chat", parts.query, ""))
        self._probe_url = urlunsplit((parts.scheme, parts.netloc, f"{base}/api/version", parts.query, ""))
        self._options = options_of(config, OllamaOptions)
        headers = {"Content-Type": "application/json", "Accept": "application/x-ndjson, application/json"}
        if config.api_key:
            headers["Authorization"] = f"Bearer {config.api_key}"
        self._headers = sendable({**headers, **self._options.headers}, "Authorization")

    def _outgoing(self, call: ModelCall) -> Outgoing:
        return Outgoing(self._url, self._headers, _encode(self._body(call)))

    def _answer(self, call: ModelCall) -> AnswerReader:
        return OllamaAnswer(single=call.request.params.get("parallel_tool_calls") is False)

    def _is_whole(self, response: HttpResponse) -> bool:
        """A whole answer is a line like any."""
        return False

    def _body(self, call: ModelCall) -> Json:
        request, options = call.request, self._options
        refuse(request, *UNKNOWN)
        refuse_tiers(request)
        body: Json = {
            "model": call.model,
            "messages": messages(call.messages, thoughts=options.send_reasoning),
            "stream": request.stream,
            "truncate": options.truncate,
        }
        if sampling := {**options.options, **_sampling(request)}:
            body["options"] = sampling
        if tools := _tools(request):
            body["tools"] = tools
        if (shape := _format(request.params.get("response_format"))) is not None:
            body["format"] = shape
        if (think := _think(request, options)) is not None:
            body["think"] = think
        if options.keep_alive is not None:
            body["keep_alive"] = options.keep_alive
        body.update({key: request.params[key] for key in ("logprobs", "top_logprobs") if key in request.params})
        return body


def messages(said: list[Message], *, thoughts: bool) -> list[Json]:
    """Raises NotSupported for what the format cannot carry."""
    names: dict[str, str] = {}  # of the tools, by the ids of their calls
    return [_message(message, names, thoughts=thoughts) for message in said]


def _message(message: Message, names: dict[str, str], *, thoughts: bool) -> Json:
    texts: list[str] = []
    images: list[str] = []
    for part in parts_of(message.content):
        if part["type"] == "text":
            texts.append(part["text"])
        elif part["type"] == "image_url":
            images.append(_image(part))
        else:
            raise NotSupported(f"This model takes no {part['type']} in messages.", param="messages")
    if message.refusal and not texts:
        texts.append(message.refusal)
    role = "system" if message.role in INSTRUCTIONS else "tool" if message.role == "function" else message.role
    made: Json = {"role": role, "content": "\n".join(texts)}
    if images:
        made["images"] = images
    if thoughts and message.reasoning_content:
        made["thinking"] = message.reasoning_content
    if message.tool_calls:
        made["tool_calls"] = [_call(place, call, names) for place, call in enumerate(message.tool_calls)]
    if role == "tool":
        made["tool_name"] = names.get(message.tool_call_id or "") or message.name or ""
        if message.tool_call_id:
            made["tool_call_id"] = message.tool_call_id
    return made


def _image(part: Json) -> str:
    data = data_of(address_of(part))
    if data is None:
        raise NotSupported("This model takes images as data in base64 only.", param="messages")
    return data.base64


def _call(place: int, call: Json, names: dict[str, str]) -> Json:
    made, name = call.get("id") or "", call["function"]["name"]
    names[made] = name
    return {
        "id": made,
        "type": "function",
        "function": {"index": place, "name": name, "arguments": arguments_of(call)},
    }


def _sampling(request: ChatRequest) -> Json:
    sampling: Json = {name: request.params[name] for name in PLAIN if name in request.params}
    if request.temperature is not None:
        sampling["temperature"] = request.temperature
    if request.max_tokens is not None:
        sampling["num_predict"] = request.max_tokens
    if stops := stops_of(request):
        sampling["stop"] = stops
    return sampling


def _tools(request: ChatRequest) -> list[Json]:
    """The model alone decides whether it calls any; that it must not is said by showing it none."""
    if not request.tools:
        return []
    choice = tool_choice(request)
    if choice.mode in ("required", "named"):
        raise NotSupported("This model cannot be made to call a tool.", param="tool_choice")
    return [] if choice.mode == "none" else [{"type": "function", "function": function_of(one)} for one in choice.tools]


def _format(wanted: Any) -> Any:
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if wanted is None or kind == "text":
        return None
    if kind == "json_object":
        return "json"
    said = wanted.get("json_schema") if kind == "json_schema" else None
    if not isinstance(said, dict):
        raise NotSupported("response_format: must be text, json_object or json_schema.", param="response_format")
    return said["schema"] if isinstance(said.get("schema"), dict) else "json"


def _think(request: ChatRequest, options: OllamaOptions) -> bool | str | None:
    effort = request.params.get("reasoning_effort")
    if effort is None:
        return options.think
    if effort not in EFFORTS:
        raise NotSupported(
            f"reasoning_effort: must be one of {', '.join(EFFORTS)}.", param="reasoning_effort"
        )  # fmt: skip
    return EFFORTS[effort]
