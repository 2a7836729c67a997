"""From a protobuf message to the object that `access.schemas` reads: the same names, absent where it is absent.

Handlers are given bytes, not messages: what cannot be read is then an answer of ours, not the transport's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from google.protobuf.message import DecodeError, Message
from google.protobuf.struct_pb2 import Struct, Value

from access import bodies
from access.edges.grpc.generated import chat_pb2 as pb
from engine.errors import InvalidRequest, NotSupported, PayloadTooLarge
from engine.types import Json

SMALL: Final = 2 * bodies.MAX_WIDTH  # bytes: each of what is repeated takes two at least
EXACT: Final = 2**53  # above it not every whole number is a double, and a double says nothing of the number meant

Read = TypeVar("Read", pb.ChatRequest, pb.ClientFrame)


def parsed(raw: bytes, kind: type[Read], limit: int = bodies.MAX_BYTES) -> Read:
    """Raises PayloadTooLarge, InvalidRequest."""
    if len(raw) > limit:
        raise PayloadTooLarge(f"The message is larger than {limit} bytes.")
    try:
        return kind.FromString(raw)
    except DecodeError as error:
        raise InvalidRequest(f"The message cannot be read: {str(error).rpartition(': ')[2]}.") from None


def chat_body(request: pb.ChatRequest) -> Json:
    """Guarded as every body is. Raises InvalidRequest, and NotSupported for what answers have no field for."""
    if request.logprobs or request.top_logprobs:
        raise NotSupported("logprobs: answers carry none in this format.", param="logprobs")
    if request.ByteSize() > SMALL:
        _count(request)
    body: Json = {}
    for field, value in request.ListFields():
        convert = _FIELDS.get(field.name)
        body[field.name] = value if convert is None else convert(value)
    bodies.check(body)
    return body


def _count(request: pb.ChatRequest) -> None:
    """Raises InvalidRequest where the guard is going to. What is empty takes two bytes on the wire, but microseconds to
    convert, in which nobody else is answered: it is counted first."""
    items = 0
    stack: list[Message] = [request]
    while stack:
        for field, value in stack.pop().ListFields():
            if field.message_type is None and not field.is_repeated:
                continue
            if not field.is_repeated:
                stack.append(value)
                continue
            mapped = isinstance(value, Mapping)
            if len(value) > bodies.MAX_WIDTH:
                what = "keys in one object" if mapped else "elements in one array"
                raise InvalidRequest(f"The body has more than {bodies.MAX_WIDTH} {what}.", param=field.name)
            items += len(value)
            if items > bodies.MAX_ITEMS:
                raise InvalidRequest(f"The body has more than {bodies.MAX_ITEMS} keys and elements.")
            stack.extend(child for child in (value.values() if mapped else value) if isinstance(child, Message))


def _messages(messages: Iterable[pb.Message]) -> list[Json]:
    return [_message(message, index) for index, message in enumerate(messages)]


def _message(message: pb.Message, index: int) -> Json:
    body: Json = {}
    for field, value in message.ListFields():
        name = field.name
        if name == "parts":
            if message.HasField("content"):
                at = f"messages[{index}]"
                raise InvalidRequest(f"{at}: give either content or parts.", param=f"{at}.parts")
            body["content"] = [_part(part) for part in value]
        elif name == "tool_calls":
            body[name] = [_tool_call(call) for call in value]
        else:
            body[name] = value
    return body


def _part(part: pb.ContentPart) -> Json:
    kind = part.WhichOneof("kind")
    if kind is None:
        return {}
    said = getattr(part, kind)
    body: Json = {"type": kind, kind: said if isinstance(said, str) else _plain(said)}
    if kind == "image_url":
        body[kind].setdefault("url", "")
    if part.HasField("cache_control"):
        body["cache_control"] = {"type": "ephemeral", **_plain(part.cache_control)}
    return body


def _plain(message: pb.ImageUrl | pb.InputAudio | pb.File | pb.CacheControl) -> Json:
    return {field.name: value for field, value in message.ListFields()}


def _tool_call(call: pb.ToolCall) -> Json:
    body: Json = {"id": call.id, "type": "function"}
    if call.HasField("function"):
        body["function"] = {"name": call.function.name, "arguments": call.function.arguments}
    if call.HasField("extra_content"):
        body["extra_content"] = _struct(call.extra_content)
    return body


def _tools(tools: Iterable[pb.Tool]) -> list[Json]:
    return [{"type": "function", "function": _function(tool)} for tool in tools]


def _function(tool: pb.Tool) -> Json:
    body: Json = {"name": tool.name}
    if tool.HasField("description"):
        body["description"] = tool.description
    if tool.HasField("parameters"):
        body["parameters"] = _struct(tool.parameters)
    if tool.HasField("strict"):
        body["strict"] = tool.strict
    return body


def _struct(struct: Struct) -> Json:
    return {key: _value(value) for key, value in struct.fields.items()}


def _value(value: Value) -> Any:
    kind = value.WhichOneof("kind")
    match kind:
        case "struct_value":
            return _struct(value.struct_value)
        case "list_value":
            return [_value(each) for each in value.list_value.values]
        case "number_value":
            return _number(value.number_value)
        case "string_value" | "bool_value":
            return getattr(value, kind)
    return None


def _number(number: float) -> float | int:
    """A whole number where it is one: a JSON schema's `minItems` is no 2.0."""
    return int(number) if number.is_integer() and abs(number) <= EXACT else number


_FIELDS: Final[dict[str, Callable[[Any], object]]] = {
    "messages": _messages,
    "tools": _tools,
    "metadata": _struct,
    "user_profile": _struct,
    "response_format": _struct,
    "tool_choice": _value,
    "stop": list,
    "logit_bias": dict,
}
