"""What a call becomes in the Anthropic Messages format. Source: the Claude API reference, Messages; "Prompt caching",
"Extended thinking", "Structured outputs" and "Tool use" of its guides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from adapters.conversations import (
    BUDGETS,
    INSTRUCTIONS,
    UNKNOWN,
    UNTITLED,
    address_of,
    arguments_of,
    data_of,
    function_of,
    parts_of,
    refuse,
    safe_id,
    schema_of,
    schema_wanted,
    stops_of,
    texts_of,
    tool_choice,
    turns,
)
from adapters.layouts import CALL, TEXT, laid_out
from adapters.thoughts import Thought, thoughts_of
from engine.errors import NotSupported
from engine.types import ChatRequest, Json, Message, ModelCall

MIN_BUDGET: Final = 1024
EFFORTS: Final = {"minimal": "low"}  # the format's own names, where they differ
TIERS: Final = {"auto": "auto", "default": "standard_only"}
CHOICES: Final = {"auto": "auto", "none": "none", "required": "any", "named": "tool"}
CACHE: Final = "cache_control"

_encode = msgspec.json.Encoder().encode


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a model or a vendor differs. `max_tokens`: of an answer where the request does not say, since the format
    demands it. `thinking`: how a request's `reasoning_effort` is put, as an effort of the model's own judgement
    (`adaptive`), as a budget of tokens (`budget`, older models) or not at all (`none`). `fields`: more of the body.
    `omit`: fields of the body that this model refuses. `beta`: names of `anthropic-beta`. `credential`: how the key is
    shown."""

    version: str = "2023-06-01"
    credential: Literal["x-api-key", "bearer"] = "x-api-key"
    beta: list[str] = []
    max_tokens: Annotated[int, Meta(ge=1)] = 4096
    thinking: Literal["adaptive", "budget", "none"] = "adaptive"
    fields: Json = {}
    omit: list[str] = []
    headers: dict[str, str] = {}


def body(call: ModelCall, options: Options) -> bytes:
    """Raises NotSupported for what the format cannot carry."""
    request = call.request
    refuse(request, *UNKNOWN)
    asked: Json = {
        **options.fields,
        "model": call.model,
        "max_tokens": request.max_tokens if request.max_tokens is not None else options.max_tokens,
        "messages": turns(call.messages, _blocks),
    }
    if system := [_text(part) for part in texts_of(m for m in call.messages if m.role in INSTRUCTIONS)]:
        asked["system"] = system
    if request.temperature is not None:
        asked["temperature"] = request.temperature
    if (top_p := request.params.get("top_p")) is not None:
        asked["top_p"] = top_p
    if (top_k := request.params.get("top_k")) is not None:
        asked["top_k"] = top_k
    if stops := stops_of(request):
        asked["stop_sequences"] = stops
    if request.stream:
        asked["stream"] = True
    _tools(asked, request)
    _format(asked, request)
    _reasoning(asked, request, options)
    _tier(asked, request)
    if _thoughtless(asked):
        del asked["thinking"]
    for name in options.omit:
        asked.pop(name, None)
    return _encode(asked)


def _blocks(message: Message) -> Iterator[Json]:
    if message.role == "tool":
        yield _result(message)
    elif message.role == "function":
        raise NotSupported("This model takes results of tools with a tool_call_id only.", param="messages")
    elif (placed := laid_out(message)) is not None:
        for kind, block in placed:
            if isinstance(block, Thought):
                if block.signature or block.data:  # what nobody signed is another service's thinking
                    yield _thinking(block)
            else:
                yield _part(block) if kind == TEXT else _use(block)
    else:
        yield from _said(message)


def _result(message: Message) -> Json:
    result: Json = {"type": "tool_result", "tool_use_id": safe_id(message.tool_call_id)}
    if message.extra_content and message.extra_content.get("is_error"):
        result["is_error"] = True
    if isinstance(message.content, str):
        result["content"] = message.content
    else:
        parts = list(parts_of(message.content))
        result["content"] = [_part({**part, CACHE: None}) for part in parts]
        for part in parts:
            _cached(result, part)
    return result


def _said(message: Message) -> Iterator[Json]:
    """Thinking, then texts, then calls with what was thought before each."""
    calls = message.tool_calls or []
    thoughts = thoughts_of(calls, message.reasoning_content or "")
    yield from map(_thinking, thoughts[0] if thoughts else ())
    for part in parts_of(message.content):
        yield _part(part)
    if message.refusal and not message.content:
        yield {"type": "text", "text": message.refusal}
    for number, call in enumerate(calls):
        if number and thoughts:
            yield from map(_thinking, thoughts[number])
        yield _use(call)


def _use(call: Json) -> Json:
    use = {"type": CALL, "id": safe_id(call.get("id"))}
    return _cached({**use, "name": call["function"]["name"], "input": arguments_of(call)}, call)


def _part(part: Json) -> Json:
    kind = part.get("type")
    if kind == "text":
        return _text(part)
    if kind == "image_url":
        return _cached({"type": "image", "source": _source(address_of(part))}, part)
    if kind == "file":
        return _cached(_document(part), part)
    raise NotSupported(f"This model takes no {kind} in messages.", param="messages")


def _text(part: Json) -> Json:
    return _cached({"type": "text", "text": part["text"]}, part)


def _source(address: str) -> Json:
    data = data_of(address)
    if data is not None:
        return {"type": "base64", "media_type": data.media_type, "data": data.base64}
    if address.startswith(("http://", "https://")):
        return {"type": "url", "url": address}
    raise NotSupported("This model takes images by http address or as data in base64.", param="messages")


def _document(part: Json) -> Json:
    file = part["file"]
    name, known, given = file.get("filename"), file.get("file_id"), file.get("file_data")
    document: Json = {"type": "document"}
    if isinstance(name, str) and name and name != UNTITLED:
        document["title"] = name
    if isinstance(known, str) and known:
        return {**document, "source": {"type": "file", "file_id": known}}
    data = data_of(given) if isinstance(given, str) else None
    if data is None or data.media_type != "application/pdf":
        raise NotSupported("This model takes files as PDF in base64, with their data: address.", param="messages")
    return {**document, "source": {"type": "base64", "media_type": data.media_type, "data": data.base64}}


def _thinking(thought: Thought) -> Json:
    if thought.data:
        return {"type": "redacted_thinking", "data": thought.data}
    return {"type": "thinking", "thinking": thought.text, "signature": thought.signature}


def _thoughtless(asked: Json) -> bool:
    """A model told to think, in the middle of its work with tools, but what it had thought before is gone: the service
    refuses that, and would not without the thinking."""
    thinking = asked.get("thinking")
    if not isinstance(thinking, dict) or thinking.get("type") != "enabled":
        return False
    for turn in reversed(asked["messages"]):
        kinds = [block["type"] for block in turn["content"]]
        if turn["role"] == "assistant":
            return "tool_use" in kinds and not kinds[0].endswith("thinking")
        if "tool_result" not in kinds:
            return False
    return False


def _tools(asked: Json, request: ChatRequest) -> None:
    """After those of the configuration, which the service itself runs."""
    choice = tool_choice(request)
    own = asked.get("tools") or []
    if choice.tools:
        asked["tools"] = [*own, *map(_tool, choice.tools)]
    if not choice.tools or (choice.mode == "auto" and choice.parallel):
        return
    asked["tool_choice"] = {"type": CHOICES[choice.mode]}
    if choice.name:
        asked["tool_choice"]["name"] = choice.name
    if not choice.parallel and choice.mode != "none":
        asked["tool_choice"]["disable_parallel_tool_use"] = True


def _tool(tool: Json) -> Json:
    function = function_of(tool)
    made: Json = {"name": function["name"], "input_schema": schema_of(function)}
    if function.get("description"):
        made["description"] = function["description"]
    if function.get("strict"):
        made["strict"] = True
    return _cached(made, function if function.get(CACHE) else tool)


def _format(asked: Json, request: ChatRequest) -> None:
    wanted = schema_wanted(request)
    if wanted is not None:
        form = {"type": "json_schema", "schema": wanted["schema"]}
        asked["output_config"] = {**asked.get("output_config", {}), "format": form}


def _reasoning(asked: Json, request: ChatRequest, options: Options) -> None:
    effort, own = request.params.get("reasoning_effort"), request.params.get("thinking")
    if own and own.get("type") == "adaptive" and options.thinking == "budget":
        own, effort = None, effort or "high"
    if own and options.thinking != "none":
        _own_thinking(asked, own, options)
        return
    if not effort or options.thinking == "none":
        return
    if effort == "none":
        asked.pop("thinking", None)
    elif options.thinking == "adaptive":
        asked["thinking"] = {"type": "adaptive"}
        asked["output_config"] = {**asked.get("output_config", {}), "effort": EFFORTS.get(effort, effort)}
    else:
        budget = BUDGETS.get(effort)
        if budget is None:
            raise NotSupported(f"This model does not know the reasoning_effort {effort!r}.", param="reasoning_effort")
        if request.max_tokens is None:
            asked["max_tokens"] = options.max_tokens + budget
        budget = min(budget, asked["max_tokens"] - 1)
        if budget >= MIN_BUDGET:  # with less room than the least budget there is no room for thinking
            asked["thinking"] = {"type": "enabled", "budget_tokens": budget}


def _own_thinking(asked: Json, own: Json, options: Options) -> None:
    """What the caller said in the words of this format: `thinking`, and the `effort` of its `output_config`."""
    effort = own.get("effort")
    if effort and options.thinking == "adaptive":
        asked["output_config"] = {**asked.get("output_config", {}), "effort": effort}
    if "type" in own:
        asked["thinking"] = {key: value for key, value in own.items() if key != "effort"}


def _tier(asked: Json, request: ChatRequest) -> None:
    tier = request.params.get("service_tier")
    if tier is None:
        return
    if tier not in TIERS:
        raise NotSupported(f"This model does not know the service_tier {tier!r}.", param="service_tier")
    asked["service_tier"] = TIERS[tier]


def _cached(block: Json, given: Json) -> Json:
    """A mark of prompt caching stays where it was given."""
    if given.get(CACHE):
        block[CACHE] = given[CACHE]
    return block
