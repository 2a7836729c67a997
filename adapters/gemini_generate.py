"""Gemini over HTTP: generateContent, as Google's Gemini API and Vertex AI have it.

Source: the Gemini API reference, `models.generateContent` and `models.streamGenerateContent` (v1beta)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal
from urllib.parse import quote, urlunsplit

import msgspec

from adapters.base import AdapterConfig
from adapters.conversations import function_of, refuse, refuse_tiers, stops_of
from adapters.gemini_answers import GeminiAnswer
from adapters.gemini_contents import UNSIGNED, contents
from adapters.gemini_schemas import translated
from adapters.refusals import refusal, retry_after
from adapters.service import AnswerReader, HttpAdapter, Outgoing, address, options_of, sendable
from engine.errors import EngineError, NotSupported, UpstreamBusy, UpstreamError
from engine.outbound import HttpClient
from engine.types import Json, ModelCall

GOOGLE: Final = "https://generativelanguage.googleapis.com/v1beta"
KIND: Final = re.compile(r"(?:models|tunedModels)/(?=.)")
OLDER: Final = re.compile(r"gemini-[12]\b")  # think by a budget of tokens, know no levels and demand no signatures
NEWER: Final = re.compile(r"gemini-(?![12]\b)")
BUDGETS: Final = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576}
LEVELS: Final = {"minimal": "minimal", "low": "low", "medium": "medium", "high": "high", "xhigh": "high"}
MODES: Final = {"none": "NONE", "auto": "AUTO", "required": "ANY"}
PLAIN: Final = {
    "top_p": "topP",
    "top_k": "topK",
    "n": "candidateCount",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
}
UNKNOWN: Final = ("logit_bias", "web_search_options")
SEEDS: Final = range(-(2**31), 2**31)
NO_ENTRY: Final = frozenset(
    {"API_KEY_INVALID", "FAILED_PRECONDITION"}
)  # with 400: a wrong key, a country that is barred


class _Detail(msgspec.Struct, rename="camel"):
    """`retry_delay` as `36.5s`."""

    reason: str = ""
    retry_delay: str = ""


class _Error(msgspec.Struct, frozen=True):
    status: str = ""
    details: list[_Detail] = []


class _Refusal(msgspec.Struct):
    error: _Error = _Error()


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Refusal | list[_Refusal]).decode


class GeminiOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`thoughts`: ask for the model's thoughts also where the request names no effort; `effort`: how effort is told,
    by the model's name where it is `auto`; `unsigned`: sign first calls of tools that came without a signature, by
    the model's name where None; `fields`: more of the request, such as `safetySettings` or the service's own `tools`;
    `headers`: more of them, or others."""

    thoughts: bool = False
    effort: Literal["auto", "budget", "level"] = "auto"
    unsigned: bool | None = None
    fields: Json = {}
    headers: dict[str, str] = {}


class GeminiGenerateAdapter(HttpAdapter):
    """Streams as server-sent events. The service's own tools, where `fields` let it use some, stay its own."""

    name = "gemini_generate"
    label = "Gemini"
    provider = "gcp.gemini"
    capabilities = frozenset({"chat", "tools", "reasoning", "logprobs", "choices", "usage", "probe"})

    def __init__(self, config: AdapterConfig, http: HttpClient) -> None:
        super().__init__(config, http)
        parts = address(config.endpoint or GOOGLE)
        base = parts.path.partition("/models/")[0].rstrip("/").removesuffix("/models")
        self._base, self._query = urlunsplit((parts.scheme, parts.netloc, base, "", "")), parts.query
        self._probe_url = self._url("models", "pageSize=1")
        self._options = options_of(config, GeminiOptions)
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        if config.api_key:
            headers["x-goog-api-key"] = config.api_key
        self._headers = sendable({**headers, **self._options.headers}, "x-goog-api-key")

    def _url(self, route: str, query: str = "") -> str:
        asked = "&".join(filter(None, (self._query, query)))
        return f"{self._base}/{route}?{asked}" if asked else f"{self._base}/{route}"

    def _outgoing(self, call: ModelCall) -> Outgoing:
        kind = KIND.match(call.model)
        model = f"{kind[0] if kind else 'models/'}{quote(KIND.sub('', call.model, count=1), safe='')}"
        verb, query = ("streamGenerateContent", "alt=sse") if call.request.stream else ("generateContent", "")
        return Outgoing(self._url(f"{model}:{verb}", query), self._headers, _encode(self._body(call)))

    def _answer(self, call: ModelCall) -> AnswerReader:
        return GeminiAnswer(single=call.request.params.get("parallel_tool_calls") is False)

    def _refused(self, status: int, headers: Mapping[str, str], body: bytes) -> EngineError:
        """The wait is said in the text of the error, and a key that is wrong with 400."""
        error = refusal(status, headers, body, self.config.api_key)
        said = _error(body)
        if status == 400 and not NO_ENTRY.isdisjoint({said.status, *(detail.reason for detail in said.details)}):
            return UpstreamError("The model's service does not accept the credential configured for it.")
        if isinstance(error, UpstreamBusy) and error.retry_after is None:
            error.retry_after = _delay(said)
        return error

    def _is_there(self, status: int, error: EngineError) -> bool:
        return super()._is_there(status, error) and not (status == 400 and isinstance(error, UpstreamError))

    def _body(self, call: ModelCall) -> Json:
        request, options = call.request, self._options
        newer = NEWER.search(call.model) is not None
        unsigned = newer if options.unsigned is None else options.unsigned
        instructions, turns = contents(call.messages, unsigned=UNSIGNED if unsigned else "")
        body: Json = {"contents": turns}
        if instructions:
            body["systemInstruction"] = {"parts": instructions}
        config = self._config(call)
        if config:
            body["generationConfig"] = config
        if request.tools:
            body["tools"] = [{"functionDeclarations": [_declaration(tool) for tool in request.tools]}]
            choosing = _choosing(request.params.get("tool_choice"), request.tools)
            if choosing:
                body["toolConfig"] = {"functionCallingConfig": choosing}
        return _merged(body, options.fields)

    def _config(self, call: ModelCall) -> Json:
        request, params = call.request, call.request.params
        refuse(request, *UNKNOWN)
        refuse_tiers(request)
        config: Json = {theirs: params[ours] for ours, theirs in PLAIN.items() if ours in params}
        if request.temperature is not None:
            config["temperature"] = request.temperature
        if request.max_tokens is not None:
            config["maxOutputTokens"] = request.max_tokens
        if stops := stops_of(request):
            config["stopSequences"] = stops
        if "seed" in params:
            if params["seed"] not in SEEDS:
                raise NotSupported("seed: this model takes 32 bits.", param="seed")
            config["seed"] = params["seed"]
        config.update(_format(params.get("response_format")))
        thinking = self._thinking(call.model, params.get("reasoning_effort"))
        if thinking:
            config["thinkingConfig"] = thinking
        return config

    def _thinking(self, model: str, effort: str | None) -> Json:
        """Who names an effort hears the thoughts."""
        told = self._options.effort
        thinking: Json = {"includeThoughts": True} if self._options.thoughts else {}
        if effort is None:
            return thinking
        by_budget = OLDER.search(model) is not None if told == "auto" else told == "budget"
        scale: Mapping[str, int | str] = BUDGETS if by_budget else LEVELS
        if effort not in scale:
            raise NotSupported(f"reasoning_effort: must be one of {', '.join(scale)}.", param="reasoning_effort")
        thinking["thinkingBudget" if by_budget else "thinkingLevel"] = scale[effort]
        thinking["includeThoughts"] = effort != "none"
        return thinking


def _declaration(tool: Json) -> Json:
    function = function_of(tool)
    declared = {"name": function["name"], "description": function.get("description")}
    return {
        **{key: value for key, value in declared.items() if value is not None},
        **({"parametersJsonSchema": function["parameters"]} if function.get("parameters") else {}),
    }


def _choosing(choice: Any, tools: list[Json]) -> Json:
    """VALIDATED is AUTO with arguments that fit their schemas, as `strict` asks for."""
    strict = any((tool.get("function") or {}).get("strict") is True for tool in tools)
    names: list[Any] = []
    if isinstance(choice, dict):
        kind, named = choice.get("type"), choice.get(str(choice.get("type")))
        if kind == "function" and isinstance(named, dict):
            choice, names = "required", [named.get("name")]
        elif kind == "allowed_tools" and isinstance(named, dict) and isinstance(named.get("tools"), list):
            choice = named.get("mode", "auto")
            functions = [one.get("function") if isinstance(one, dict) else None for one in named["tools"]]
            names = [function.get("name") if isinstance(function, dict) else None for function in functions]
    if choice is None:
        return {"mode": "VALIDATED"} if strict else {}
    mode = MODES.get(choice) if isinstance(choice, str) else None
    if mode is None or not all(isinstance(name, str) for name in names):
        raise NotSupported("tool_choice: this model has nothing like it.", param="tool_choice")
    if mode == "AUTO" and (strict or names):
        mode = "VALIDATED"  # which also takes names
    return {"mode": mode, "allowedFunctionNames": names} if names else {"mode": mode}


def _format(wanted: Any) -> Json:
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if wanted is None or kind == "text":
        return {}
    if kind == "json_object":
        return {"responseMimeType": "application/json"}
    said = wanted.get("json_schema") if kind == "json_schema" else None
    if not isinstance(said, dict):
        raise NotSupported("response_format: must be text, json_object or json_schema.", param="response_format")
    schema = {} if said.get("schema") is None else {"responseJsonSchema": translated(said["schema"])}
    return {"responseMimeType": "application/json", **schema}


def _merged(body: Json, more: Json) -> Json:
    """Objects join, lists go on, anything else is replaced."""
    made = dict(body)
    for key, value in more.items():
        before = made.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            made[key] = _merged(before, value)
        elif isinstance(before, list) and isinstance(value, list):
            made[key] = [*before, *value]
        else:
            made[key] = value
    return made


def _error(body: bytes) -> _Error:
    try:
        said = _decode(body)
    except (ValueError, RecursionError):
        return _Error()
    return (said[0] if said else _Refusal()).error if isinstance(said, list) else said.error


def _delay(error: _Error) -> float | None:
    for detail in error.details:
        if detail.retry_delay.endswith("s"):
            return retry_after(detail.retry_delay[:-1])
    return None
