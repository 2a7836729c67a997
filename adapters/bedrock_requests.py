"""What a call becomes in Bedrock's Converse format. Source: the Amazon Bedrock API reference, Converse, and the guides
on prompt caching, structured outputs and extended thinking."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

import msgspec

from adapters.conversations import (
    BUDGETS,
    INSTRUCTIONS,
    UNKNOWN,
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
from adapters.thoughts import Thought, thoughts_of
from engine.errors import NotSupported
from engine.types import ChatRequest, Json, Message, ModelCall

EFFORTS: Final = {"minimal": "low"}
MORE: Final = "additionalModelRequestFields"
TIERS: Final = frozenset({"priority", "default", "flex", "reserved"})
IMAGES: Final = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
OFFICE: Final = "application/vnd.openxmlformats-officedocument"
DOCUMENTS: Final = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
    "application/msword": "doc",
    "application/vnd.ms-excel": "xls",
    f"{OFFICE}.wordprocessingml.document": "docx",
    f"{OFFICE}.spreadsheetml.sheet": "xlsx",
}
NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9\s()\[\]-]|\s(?=\s)")

_encode = msgspec.json.Encoder().encode


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a model differs. `region`: of the service, where the endpoint does not tell it. `reasoning`: how a request's
    `reasoning_effort` is put, as the format's own `effort`, and with a Claude model's own judgement (`adaptive`), as a
    budget of tokens (`budget`, older Claude models) or not at all (`none`). `fields`: more of the body, such as
    `additionalModelRequestFields` or `guardrailConfig`. `omit`: fields of `inferenceConfig` that this model refuses."""

    region: str = ""
    reasoning: Literal["effort", "adaptive", "budget", "none"] = "effort"
    fields: Json = {}
    omit: list[str] = []
    headers: dict[str, str] = {}


def body(call: ModelCall, options: Options) -> bytes:
    """Raises NotSupported for what the format cannot carry."""
    request = call.request
    refuse(request, *UNKNOWN)
    asked: Json = {**options.fields, "messages": turns(call.messages, _blocks)}
    if system := [
        block
        for part in texts_of(message for message in call.messages if message.role in INSTRUCTIONS)
        for block in _part(part)
    ]:
        asked["system"] = system
    if (config := _tools(request, call.messages)) is not None:
        asked["toolConfig"] = config
    wanted = {
        "maxTokens": request.max_tokens,
        "temperature": request.temperature,
        "topP": request.params.get("top_p"),
        "stopSequences": stops_of(request) or None,
    }
    if inference := {key: value for key, value in wanted.items() if value is not None and key not in options.omit}:
        asked["inferenceConfig"] = {**asked.get("inferenceConfig", {}), **inference}
    _format(asked, request)
    _reasoning(asked, request, options)
    _tier(asked, request)
    if _thoughtless(asked):
        asked[MORE] = {key: value for key, value in asked[MORE].items() if key != "thinking"}
    return _encode(asked)


def _blocks(message: Message) -> Iterator[Json]:
    if message.role == "tool":
        blocks = [block for part in parts_of(message.content) for block in _part(part)]
        content = [block for block in blocks if "cachePoint" not in block]
        yield {"toolResult": {"toolUseId": safe_id(message.tool_call_id), "content": content}}
        yield from (block for block in blocks if "cachePoint" in block)
        return
    if message.role == "function":
        raise NotSupported("This model takes results of tools with a tool_call_id only.", param="messages")
    calls = message.tool_calls or []
    thoughts = thoughts_of(calls, message.reasoning_content or "")
    yield from map(_thinking, thoughts[0] if thoughts else ())
    for part in parts_of(message.content):
        yield from _part(part)
    if message.refusal and not message.content:
        yield {"text": message.refusal}
    for number, call in enumerate(calls):
        if number and thoughts:
            yield from map(_thinking, thoughts[number])
        use = {"toolUseId": safe_id(call.get("id")), "name": call["function"]["name"], "input": arguments_of(call)}
        yield {"toolUse": use}


def _thinking(thought: Thought) -> Json:
    if thought.data:
        return {"reasoningContent": {"redactedContent": thought.data}}
    return {"reasoningContent": {"reasoningText": {"text": thought.text, "signature": thought.signature}}}


def _part(part: Json) -> Iterator[Json]:
    """Texts of nothing but white space are refused by the service. A mark of prompt caching is a block of its own."""
    kind = part.get("type")
    if kind == "text":
        if part["text"].strip():
            yield {"text": part["text"]}
    elif kind == "image_url":
        yield {"image": _image(address_of(part))}
    elif kind == "input_audio":
        sound = part["input_audio"]
        yield {"audio": {"format": sound.get("format"), "source": {"bytes": sound.get("data")}}}
    elif kind == "file":
        yield {"document": _document(part["file"])}
    else:
        raise NotSupported(f"This model takes no {kind} in messages.", param="messages")
    yield from _cache_point(part.get("cache_control"))


def _cache_point(mark: Any) -> Iterator[Json]:
    if isinstance(mark, dict):
        ttl = {"ttl": mark["ttl"]} if isinstance(mark.get("ttl"), str) else {}
        yield {"cachePoint": {"type": "default", **ttl}}


def _image(url: str) -> Json:
    data = data_of(url)
    form = IMAGES.get(data.media_type) if data is not None else None
    if data is None or form is None:
        raise NotSupported(
            "This model takes images as PNG, JPEG, GIF or WebP in base64, with their data: address.", param="messages"
        )
    return {"format": form, "source": {"bytes": data.base64}}


def _document(file: Json) -> Json:
    given, name = file.get("file_data"), file.get("filename")
    data = data_of(given) if isinstance(given, str) else None
    form = DOCUMENTS.get(data.media_type) if data is not None else None
    if data is None or form is None:
        raise NotSupported("This model takes documents in base64, with their data: address.", param="messages")
    plain = NOT_IN_NAMES.sub("", name.rpartition(".")[0] or name).strip()[:200] if isinstance(name, str) else ""
    return {"format": form, "name": plain or "document", "source": {"bytes": data.base64}}


def _tools(request: ChatRequest, messages: Sequence[Message]) -> Json | None:
    """The service wants to know the tools of a conversation that holds calls, also when nobody is to call any more."""
    choice = tool_choice(request)
    called = {call["function"]["name"] for message in messages for call in message.tool_calls or ()}
    if choice.tools and choice.mode == "none":
        if called:
            raise NotSupported("This model takes no tool_choice none after calls of tools.", param="tool_choice")
        return None
    if not choice.tools:
        tools = [{"toolSpec": {"name": name, "inputSchema": {"json": schema_of({})}}} for name in sorted(called)]
        return {"tools": tools} if tools else None
    config: Json = {"tools": [block for tool in choice.tools for block in _tool(tool)]}
    if choice.mode == "required":
        config["toolChoice"] = {"any": {}}
    elif choice.name:
        config["toolChoice"] = {"tool": {"name": choice.name}}
    return config


def _tool(tool: Json) -> Iterator[Json]:
    function = function_of(tool)
    made: Json = {"name": function["name"], "inputSchema": {"json": schema_of(function)}}
    if function.get("description"):
        made["description"] = function["description"]
    if function.get("strict"):
        made["strict"] = True
    yield {"toolSpec": made}
    yield from _cache_point(function.get("cache_control") or tool.get("cache_control"))


def _format(asked: Json, request: ChatRequest) -> None:
    wanted = schema_wanted(request)
    if wanted is None:
        return
    schema: Json = {"schema": _encode(wanted["schema"]).decode()}
    schema |= {key: wanted[key] for key in ("name", "description") if wanted.get(key)}
    form = {"type": "json_schema", "structure": {"jsonSchema": schema}}
    asked["outputConfig"] = {**asked.get("outputConfig", {}), "textFormat": form}


def _reasoning(asked: Json, request: ChatRequest, options: Options) -> None:
    effort, way = request.params.get("reasoning_effort"), options.reasoning
    if not effort or effort == "none" or way == "none":
        return
    if way != "budget":
        asked["outputConfig"] = {**asked.get("outputConfig", {}), "effort": EFFORTS.get(effort, effort)}
    if way == "effort":
        return
    thinking: Json = {"type": "adaptive"}
    if way == "budget":
        budget = BUDGETS.get(effort)
        if budget is None:
            raise NotSupported(f"This model does not know the reasoning_effort {effort!r}.", param="reasoning_effort")
        budget = min(budget, (request.max_tokens or 2 * budget) - 1)
        if budget < BUDGETS["minimal"]:
            return  # with less room than the least budget there is no room for thinking
        thinking = {"type": "enabled", "budget_tokens": budget}
    asked[MORE] = {**asked.get(MORE, {}), "thinking": thinking}


def _thoughtless(asked: Json) -> bool:
    """A model told to think, in the middle of its work with tools, but what it had thought before is gone: the service
    refuses that, and would not without the thinking."""
    thinking = asked.get(MORE, {}).get("thinking")
    if not isinstance(thinking, dict) or thinking.get("type") != "enabled":
        return False
    for turn in reversed(asked["messages"]):
        kinds = [next(iter(block)) for block in turn["content"]]
        if turn["role"] == "assistant":
            return "toolUse" in kinds and kinds[0] != "reasoningContent"
        if "toolResult" not in kinds:
            return False
    return False


def _tier(asked: Json, request: ChatRequest) -> None:
    tier = request.params.get("service_tier")
    if tier in TIERS:
        asked["serviceTier"] = {"type": tier}
    elif tier not in (None, "auto"):
        raise NotSupported(f"This model does not know the service_tier {tier!r}.", param="service_tier")
