"""A conversation as the `contents` and the `systemInstruction` of generateContent.

Source: the Gemini API reference, `Content` and `Part`; "thought signatures": the first call of each step must come back
with the signature it came with, which a message carries as `extra_content` (so does Google's own OpenAI-like API).
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from adapters.conversations import INSTRUCTIONS, address_of, arguments_of, data_of, parts_of
from adapters.gemini_answers import OWN_IDS
from engine.errors import InvalidRequest, NotSupported
from engine.types import Json, Message

ANSWERING: Final = frozenset({"tool", "function"})
FETCHED: Final = frozenset({"http", "https", "gs"})
# For calls another service made, and for clients that drop `extra_content`: "do not look for a signature".
UNSIGNED: Final = "skip_thought_signature_validator"

_decode = msgspec.json.decode


def contents(messages: list[Message], *, unsigned: str = "") -> tuple[list[Json], list[Json]]:
    """The parts of the instructions, and the turns. `unsigned`: the signature of first calls that have none.

    Raises NotSupported for what the format cannot carry, InvalidRequest for what nobody can read."""
    instructions: list[Json] = []
    turns: list[Json] = []
    names: dict[str, str] = {}  # of the tools, by the ids of their calls, in their order
    for message in _in_order(messages):
        if message.role in INSTRUCTIONS:
            instructions += _said(message)
            continue
        if message.role == "assistant":
            role, parts = "model", [*_said(message), *_calls(message, names, unsigned)]
        elif message.role in ANSWERING:
            role, parts = "user", [_response(message, names), *(part for part in _said(message) if "text" not in part)]
        else:
            role, parts = "user", _said(message) or [{"text": ""}]
        if turns and turns[-1]["role"] == role:
            turns[-1]["parts"] += parts
        elif parts:
            turns.append({"role": role, "parts": parts})
    if not turns:  # somebody must speak
        return [], [{"role": "user", "parts": instructions or [{"text": ""}]}]
    return instructions, turns


def _said(message: Message) -> list[Json]:
    parts = [_part(part) for part in parts_of(message.content)]
    if message.refusal and not parts:
        parts.append({"text": message.refusal})
    return parts


def _part(part: Json) -> Json:
    kind, value = part.get("type"), part.get(str(part.get("type")))
    if kind == "text":
        return {"text": part["text"]}
    if kind == "image_url":
        return _media(address_of(part))
    if isinstance(value, dict):
        if kind == "input_audio" and isinstance(value.get("data"), str):
            form = value.get("format")
            kind = f"audio/{form}" if isinstance(form, str) and form else "audio/wav"
            return {"inlineData": {"mimeType": kind, "data": value["data"]}}
        if kind == "file":
            return _file(value)
    raise NotSupported(f"This model takes no content of the type {kind!r}.", param="messages")


def _media(url: str) -> Json:
    """Inline where it is a data URL, else the address, which the service itself fetches."""
    inline = data_of(url)
    if inline is not None:
        return {"inlineData": {"mimeType": inline.media_type, "data": inline.base64}}
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in FETCHED:
        raise InvalidRequest("messages: must be a base64 data URL, or an http, https or gs address.", param="messages")
    kind = _kind(parts.path)
    return {"fileData": {"fileUri": url} if kind is None else {"mimeType": kind, "fileUri": url}}


def _kind(name: Any) -> str | None:
    """The type of a file, by its name."""
    try:
        return mimetypes.guess_type(name)[0] if isinstance(name, str) else None
    except ValueError:  # it takes names for addresses
        return None


def _file(file: Json) -> Json:
    data, name, known = file.get("file_data"), file.get("filename"), file.get("file_id")
    if isinstance(data, str) and data:
        if data.startswith("data:"):
            return _media(data)
        return {"inlineData": {"mimeType": _kind(name) or "application/pdf", "data": data}}
    if isinstance(known, str) and known.partition("://")[0].lower() in FETCHED:
        return _media(known)
    raise NotSupported("This model takes files as data or by their whole address only.", param="messages")


def _calls(message: Message, names: dict[str, str], unsigned: str) -> Iterable[Json]:
    for place, call in enumerate(message.tool_calls or ()):
        made = call.get("id") or ""
        name = names[made] = call["function"]["name"]
        part: Json = {"functionCall": {**_id(made), "name": name, "args": arguments_of(call)}}
        signature = _signature(call) or (unsigned if place == 0 else "")
        if signature:
            part["thoughtSignature"] = signature
        yield part


def _id(made: str) -> Json:
    """Only where the service knows it: some of its kind take none of anybody else."""
    return {} if not made or made.startswith(OWN_IDS) else {"id": made}


def _signature(call: Json) -> str:
    extra = call.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    signature = google.get("thought_signature") if isinstance(google, dict) else None
    return signature if isinstance(signature, str) else ""


def _response(message: Message, names: dict[str, str]) -> Json:
    """An object as it is, anything else as `result`."""
    text = "\n".join(part["text"] for part in _said(message) if "text" in part)
    try:
        result: Any = _decode(text, type=dict[str, msgspec.Raw])
    except (ValueError, RecursionError):
        result = {"result": text}
    made = message.tool_call_id or ""
    return {"functionResponse": {**_id(made), "name": names.get(made) or message.name or made, "response": result}}


def _in_order(messages: list[Message]) -> list[Message]:
    """Results follow their calls at once and in their order: without ids the service tells them apart by it."""
    ordered: list[Message] = []
    results: list[Message] = []
    places: dict[str | None, int] = {}
    for message in messages:
        if message.role in ANSWERING:
            results.append(message)
            continue
        if results:
            ordered += sorted(results, key=lambda result: places.get(result.tool_call_id, len(places)))
            results = []
        if message.tool_calls:
            places = {call.get("id"): place for place, call in enumerate(message.tool_calls)}
        ordered.append(message)
    return ordered + sorted(results, key=lambda result: places.get(result.tool_call_id, len(places)))
