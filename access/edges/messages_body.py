"""What a request of the Messages format may say, as the one request that every edge hands to the engine.

Source: the Claude API reference, Messages and "Count tokens". Unknown fields are accepted and dropped; what would
change the answer and cannot be carried is refused with its `param`."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from access import schemas
from access.edges import messages_blocks
from access.edges.messages_blocks import wrong
from access.schemas import MAX_MESSAGES, Name, Text, Tokens, cache_mark
from engine.errors import NotSupported
from engine.types import AUTO, ChatRequest, Json, RawHeaders

MIN_BUDGET: Final = 1024
# A budget of thinking as an effort, for services that know no budgets: the first that it does not reach.
EFFORTS: Final = ((4096, "low"), (16384, "medium"))
MOST_EFFORT: Final = "high"
OTHERS_EFFORTS: Final = {"max": "xhigh"}  # what services of other formats call it
CHOICES: Final = {"auto": "auto", "any": "required", "none": "none"}
TIERS: Final = {"auto": "auto", "standard_only": "default"}
NOT_CARRIED: Final = ("container", "mcp_servers")
KEEP_ALL: Final[tuple[Any, ...]] = ("all", {"type": "all"})
NOTHING_CLEARED: Final = "clear_thinking_"  # an edit of the context that, keeping all, changes nothing


class Effort(msgspec.Struct):
    """`output_config`."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: Json | None = None


class Thinking(msgspec.Struct):
    """`thinking`."""

    type: Literal["enabled", "adaptive", "between_tools", "disabled"]
    budget_tokens: Annotated[int, Meta(ge=MIN_BUDGET, le=2**31 - 1)] | None = None
    display: Literal["summarized", "omitted"] | None = None


class Caller(msgspec.Struct):
    """`metadata`, as far as it is read here."""

    user_id: Text | None = None


class CountBody(msgspec.Struct, kw_only=True):
    """`POST /v1/messages/count_tokens`."""

    messages: Annotated[list[Json], Meta(min_length=1, max_length=MAX_MESSAGES)]
    model: Name | None = None
    system: str | list[Json] | None = None
    tools: list[Json] | None = None
    cache_control: Json | None = None


class MessagesBody(CountBody, kw_only=True):
    """`POST /v1/messages`."""

    max_tokens: Tokens
    stream: bool | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    stop_sequences: Annotated[list[Text], Meta(max_length=16)] | None = None
    tool_choice: Json | None = None
    thinking: Thinking | None = None
    output_config: Effort | None = None
    output_format: Json | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    metadata: Json | None = None
    context_management: Json | None = None


def messages_request(body: Json, *, request_id: str, headers: RawHeaders = ()) -> ChatRequest:
    """Raises InvalidRequest, NotSupported. The header `X-Session-Id` makes it a remembered turn, of a new session if
    there is none of that name."""
    refuse(body)
    asked: MessagesBody = schemas.fields(body, MessagesBody)
    _context(asked.context_management)
    caller: Caller = schemas.fields({"metadata": asked.metadata or {}}, _Metadata).metadata
    counted = count_request(asked, request_id=request_id, headers=headers)
    return msgspec.structs.replace(
        counted,
        temperature=asked.temperature,
        max_tokens=asked.max_tokens,
        stream=asked.stream is True,
        params=_params(asked),
        metadata=asked.metadata or {},
        user=caller.user_id,
        **schemas.told(headers),
    )


class _Metadata(msgspec.Struct):
    metadata: Caller


def count_request(asked: CountBody, *, request_id: str, headers: RawHeaders = ()) -> ChatRequest:
    """What of a request is read by the model."""
    messages = [*messages_blocks.instructions(asked.system), *messages_blocks.said(asked.messages)]
    if asked.cache_control is not None:
        messages = messages_blocks.marked(messages, asked.cache_control)
    return ChatRequest(
        messages=messages,
        model=asked.model or AUTO,
        tools=[_tool(tool, f"tools.{number}") for number, tool in enumerate(asked.tools or ())] or None,
        headers=headers,
        edge="messages",
        request_id=request_id,
    )


def refuse(body: Json) -> None:
    """Raises NotSupported for what is no matter of a model alone."""
    for name in NOT_CARRIED:
        if body.get(name):
            raise NotSupported(f"{name}: is not supported here.", param=name)


def _context(management: Json | None) -> None:
    """Edits that change nothing may be asked for: agents do so with every request."""
    edits = (management or {}).get("edits") or []
    if not isinstance(edits, list):
        raise wrong("context_management.edits", "must be a list")
    for number, edit in enumerate(edits):
        kind = edit.get("type") if isinstance(edit, dict) else None
        if not isinstance(kind, str) or not kind.startswith(NOTHING_CLEARED) or edit.get("keep") not in KEEP_ALL:
            at = f"context_management.edits.{number}"
            raise NotSupported(f"{at}: the context is not edited here.", param=at)


def _params(asked: MessagesBody) -> Json:
    config = asked.output_config or Effort()
    wanted = {
        "top_p": asked.top_p,
        "top_k": asked.top_k,
        "stop": asked.stop_sequences or None,
        "service_tier": TIERS[asked.service_tier] if asked.service_tier is not None else None,
        "response_format": _format(config.format or asked.output_format),
        **_choice(asked),
        **_thinking(asked.thinking, config.effort),
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _choice(asked: MessagesBody) -> Json:
    choice = asked.tool_choice
    if choice is None:
        return {}
    kind, name, alone = choice.get("type"), choice.get("name"), choice.get("disable_parallel_tool_use")
    if kind not in (*CHOICES, "tool"):
        raise wrong("tool_choice.type", "must be auto, any, tool or none")
    if kind == "tool" and (not isinstance(name, str) or not name):
        raise wrong("tool_choice.name", "must name a tool")
    if alone is not None and not isinstance(alone, bool):
        raise wrong("tool_choice.disable_parallel_tool_use", "must be true or false")
    if not asked.tools:
        if kind in ("any", "tool"):
            raise wrong("tool_choice", "there are no tools to choose from")
        return {}
    chosen = {"type": "function", "function": {"name": name}} if kind == "tool" else CHOICES[kind]
    return {"tool_choice": chosen, "parallel_tool_calls": False if alone else None}


def _thinking(thinking: Thinking | None, effort: str | None) -> Json:
    """As an effort for every service, and in the words of the format for those that speak it."""
    own: Json = {} if thinking is None else {key: value for key, value in _set(thinking).items() if value is not None}
    if thinking is not None and thinking.type == "enabled" and thinking.budget_tokens is None:
        raise wrong("thinking.budget_tokens", "is missing")
    if effort is not None:
        own["effort"] = effort
    if not own:
        return {}
    if thinking is not None and thinking.type == "disabled":
        wanted: str | None = "none"
    elif effort is not None:
        wanted = OTHERS_EFFORTS.get(effort, effort)
    else:
        budget = thinking.budget_tokens if thinking is not None else None
        wanted = None if budget is None else next((name for most, name in EFFORTS if budget < most), MOST_EFFORT)
    return {"thinking": own, "reasoning_effort": wanted}


def _set(thinking: Thinking) -> Json:
    if thinking.type == "enabled":
        return msgspec.structs.asdict(thinking)
    return {"type": thinking.type, "display": thinking.display}


def _format(wanted: Json | None) -> Json | None:
    if wanted is None:
        return None
    schema = wanted.get("schema")
    if wanted.get("type") != "json_schema" or not isinstance(schema, dict):
        raise wrong("output_config.format", "must be a json_schema with its schema")
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


def _tool(tool: Json, at: str) -> Json:
    kind, name, schema, text = (tool.get(key) for key in ("type", "name", "input_schema", "description"))
    if kind is not None and kind != "custom":
        named = kind[:64] if isinstance(kind, str) else "this"
        raise NotSupported(
            f"{at}.type: {named} is a tool that a model's service runs or defines itself. Only tools of one's own with "
            "an input_schema are taken.",
            param=f"{at}.type",
        )
    if not isinstance(name, str) or not name:
        raise wrong(f"{at}.name", "must be a name")
    if not isinstance(schema, dict):
        raise wrong(f"{at}.input_schema", "must be a JSON schema")
    if text is not None and not isinstance(text, str):
        raise wrong(f"{at}.description", "must be a string")
    function: Json = {"name": name, "parameters": schema}
    if text:
        function["description"] = text
    if tool.get("strict") is True:
        function["strict"] = True
    mark: Any = tool.get("cache_control")
    marked = {"cache_control": cache_mark(mark)} if isinstance(mark, dict) else {}
    return {"type": "function", "function": function, **marked}
