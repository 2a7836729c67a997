"""A conversation of the OpenAI format, read for formats that have other ideas of it: instructions apart, users and
assistants by turns, results of tools said by the user, arguments as objects, ids of few signs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec

from engine.errors import NotSupported
from engine.types import ChatRequest, Json, Message

INSTRUCTIONS: Final = frozenset({"system", "developer"})
# Where arguments go that are no JSON object: a model's call may have been cut off, and is history all the same.
INVALID: Final = "INVALID_JSON"
DATA_URL: Final = re.compile(r"data:([\w.+/-]+)(?:;[\w=-]+)*;base64,(.*)\Z", re.DOTALL | re.IGNORECASE)
# What the formats of blocks have no word for. `seed` and `verbosity` are wishes and dropped.
UNKNOWN: Final = (
    "n", "logprobs", "top_logprobs", "logit_bias", "presence_penalty", "frequency_penalty", "web_search_options",
)  # fmt: skip
BUDGETS: Final = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768, "max": 32768}  # tokens
UNTITLED: Final = "document.pdf"  # the name of a document that came without one, for services that want one
MEDIA_TYPES: Final = {"image/jpg": "image/jpeg"}

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


class Data(NamedTuple):
    """What a `data:` address holds: a type in lower case, and base64."""

    media_type: str
    base64: str


def parts_of(content: Any) -> Iterator[Json]:
    """Parts of a message, mere text as one; without those that hold no text at all."""
    if isinstance(content, str):
        if content:
            yield {"type": "text", "text": content}
        return
    for part in content or ():
        kind = part.get("type")
        text = part.get("refusal" if kind == "refusal" else "text") if kind in ("text", "refusal") else None
        if kind not in ("text", "refusal"):
            yield part
        elif isinstance(text, str) and text:
            yield {**part, "type": "text", "text": text}


def texts_of(messages: Iterable[Message]) -> Iterator[Json]:
    """The text parts of messages that may hold nothing else."""
    for message in messages:
        for part in parts_of(message.content):
            if part.get("type") != "text":
                raise NotSupported("This model takes instructions as text only.", param="messages")
            yield part


def data_of(address: str) -> Data | None:
    """None: it is no `data:` address in base64."""
    found = DATA_URL.match(address)
    if found is None:
        return None
    media_type = found[1].lower()
    return Data(MEDIA_TYPES.get(media_type, media_type), found[2])


def turns(messages: Iterable[Message], blocks_of: Callable[[Message], Iterator[Json]]) -> list[Json]:
    """Users and assistants by turns, without instructions: what one side says in several messages is one turn."""
    said: list[Json] = []
    for message in messages:
        if message.role in INSTRUCTIONS:
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = list(blocks_of(message))
        if not blocks:
            continue
        if said and said[-1]["role"] == role:
            said[-1]["content"] += blocks
        else:
            said.append({"role": role, "content": blocks})
    return said


def address_of(part: Json) -> str:
    """Of an `image_url` part."""
    image = part.get("image_url")
    address = image.get("url") if isinstance(image, dict) else image
    if not isinstance(address, str) or not address:
        raise NotSupported("An image_url needs its url.", param="messages")
    return address


def arguments_of(call: Json) -> Json:
    """As an object."""
    raw = call["function"].get("arguments") or ""
    if not raw.strip():
        return {}
    try:
        arguments = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        arguments = None
    return arguments if isinstance(arguments, dict) else {INVALID: raw}


def safe_id(call_id: str | None) -> str:
    """The id itself where every service takes it, else one made of it, the same each time."""
    text = call_id or ""
    if _ID.match(text):
        return text
    return "call_" + blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def function_of(tool: Json) -> Json:
    """Raises NotSupported: nothing but functions can be called back."""
    function = tool.get("function")
    if tool.get("type", "function") != "function" or not isinstance(function, dict) or not function.get("name"):
        raise NotSupported("This model takes no tools but functions.", param="tools")
    return function


def schema_of(function: Json) -> Json:
    """Of its parameters; functions without any take an empty object."""
    parameters = function.get("parameters")
    if not isinstance(parameters, dict) or not parameters:
        return {"type": "object", "properties": {}}
    return parameters if "type" in parameters else {"type": "object", **parameters}


class ToolChoice(NamedTuple):
    """`mode` is `auto`, `none`, `required` or `named`; `parallel`: several calls at a time are welcome. `tools` are
    those the model may call: the others are not even shown to it."""

    mode: str
    name: str = ""
    parallel: bool = True
    tools: list[Json] = []


def tool_choice(request: ChatRequest) -> ToolChoice:
    """Raises NotSupported for what is none."""
    choice = request.params.get("tool_choice") or "auto"
    parallel = request.params.get("parallel_tool_calls") is not False
    tools = request.tools or []
    if choice in ("auto", "none", "required"):
        return ToolChoice(choice, "", parallel, tools)
    kind, said = (choice.get("type"), choice.get("allowed_tools")) if isinstance(choice, dict) else (None, None)
    if kind == "function" and (name := _named(choice)):
        return ToolChoice("named", name, parallel, tools)
    if kind == "allowed_tools" and isinstance(said, dict) and said.get("mode") in ("auto", "required"):
        allowed = {_named(one) for one in said.get("tools") or ()}
        return ToolChoice(said["mode"], "", parallel, [tool for tool in tools if _named(tool) in allowed])
    raise NotSupported("This model does not know this tool_choice.", param="tool_choice")


def _named(tool: Any) -> str:
    function = tool.get("function") if isinstance(tool, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else ""


def schema_wanted(request: ChatRequest) -> Json | None:
    """What `response_format` demands: `{"name", "schema", …}`, or None for free text. Raises NotSupported."""
    wanted = request.params.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if wanted is None or kind == "text":
        return None
    found = wanted.get("json_schema") if kind == "json_schema" else None
    if not isinstance(found, dict) or not isinstance(found.get("schema"), dict):
        raise NotSupported(
            "This model answers in JSON by a schema only: response_format json_schema.", param="response_format"
        )
    return found


def refuse(request: ChatRequest, *names: str) -> None:
    """Raises NotSupported for the first of these parameters that asks for anything: what a model cannot do is said."""
    for name in names:
        value = request.params.get(name)
        if value and not (name == "n" and value == 1):
            raise NotSupported(f"This model does not take {name}.", param=name)


def stops_of(request: ChatRequest) -> list[str]:
    stop = request.params.get("stop") or []
    return [stop] if isinstance(stop, str) else list(stop)


def refuse_tiers(request: ChatRequest) -> None:
    """For services that serve all alike: `service_tier` may leave it to them, no more. Raises NotSupported."""
    if request.params.get("service_tier", "auto") not in ("auto", "default"):
        raise NotSupported("This model does not take service_tier.", param="service_tier")
