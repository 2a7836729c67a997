"""The items of OpenAI's Responses API: what is put in as messages of our own, and messages as items.

Source: OpenAI's API reference, Responses (input items, output items). A chat knows messages where this format has
items: an assistant's text and its calls of functions are one message here, and what it reasoned before goes with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from engine.errors import InvalidRequest, NotSupported
from engine.types import Content, Json, Message

ROLES: Final = ("user", "assistant", "system", "developer")
DETAILS: Final = ("auto", "low", "high")
TEXTS: Final = frozenset({"input_text", "output_text", "text"})
OWN: Final = re.compile(r"(rs|msg|fc)_([0-9a-f]{32})(?:_(\d{1,4}))?\Z")  # ids of what a response put out

Reader = Callable[["Talk", Json, str], None]


def own_id(kind: str, turn_id: str, number: int = 0) -> str:
    """The id of an item that a turn put out, the first of its kind without a number."""
    return f"{kind}_{turn_id}_{number}" if number else f"{kind}_{turn_id}"


class Talk:
    """Messages that grow item by item."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._reasoning = ""

    def add(self, item: Json, at: str) -> None:
        """`at` is the item's place in the request. Raises InvalidRequest, NotSupported."""
        kind = item.get("type", "message")
        read = _READERS.get(kind) if isinstance(kind, str) else None
        if read is None:
            if not isinstance(kind, str):
                raise InvalidRequest(f"{at}.type: must be a string.", param=f"{at}.type")
            raise NotSupported(
                f"{at}.type: items of the type {kind[:64]!r} are not supported, only {', '.join(_READERS)}.",
                param=f"{at}.type",
            )
        read(self, item, at)

    def message(self, item: Json, at: str) -> None:
        role = item.get("role")
        if role not in ROLES:
            raise InvalidRequest(f"{at}.role: must be one of {', '.join(ROLES)}.", param=f"{at}.role")
        content, refusal = _content(item.get("content"), f"{at}.content", assistant=role == "assistant")
        if role == "assistant":
            self._say(content, refusal)
        else:
            self._reasoning = ""
            self.messages.append(Message(role, content))

    def reason(self, item: Json, at: str) -> None:
        """Goes with what the assistant says next."""
        texts = []
        for name in ("content", "summary"):
            parts = item.get(name) or []
            if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
                raise InvalidRequest(f"{at}.{name}: must be a list of parts.", param=f"{at}.{name}")
            texts.append("\n\n".join(part["text"] for part in parts if isinstance(part.get("text"), str)))
        self._reasoning += texts[0] or texts[1]

    def call(self, item: Json, at: str) -> None:
        call_id, name, arguments = (_text(item, key, at) for key in ("call_id", "name", "arguments"))
        made: Json = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        if isinstance(extra := item.get("extra_content"), dict):
            made["extra_content"] = extra  # signatures of the model that made the call
        last = self._running()
        if last is None:
            self._append(Message("assistant", tool_calls=[made]))
        else:
            self._replace(last, tool_calls=[*(last.tool_calls or ()), made])

    def result(self, item: Json, at: str) -> None:
        call_id = _text(item, "call_id", at)
        content, _ = _content(item.get("output"), f"{at}.output", assistant=False)
        self._reasoning = ""
        self.messages.append(Message("tool", content, tool_call_id=call_id))

    def _say(self, content: Content, refusal: str | None) -> None:
        last = self._running()
        if last is not None and last.tool_calls:  # then it goes before the answers of its calls, which come next
            self._replace(last, content=_joined(last.content, content), refusal=_joined(last.refusal, refusal))
        else:
            self._append(Message("assistant", content, refusal=refusal))

    def _running(self) -> Message | None:
        """What the assistant is saying, if it is its turn still."""
        return self.messages[-1] if self.messages and self.messages[-1].role == "assistant" else None

    def _append(self, message: Message) -> None:
        reasoning, self._reasoning = self._reasoning, ""
        self.messages.append(msgspec.structs.replace(message, reasoning_content=reasoning or None))

    def _replace(self, last: Message, **changes: Any) -> None:
        reasoning, self._reasoning = (last.reasoning_content or "") + self._reasoning, ""
        self.messages[-1] = msgspec.structs.replace(last, reasoning_content=reasoning or None, **changes)


def _joined(*said: object) -> str | None:
    """Of texts that an assistant says one after the other."""
    texts = [text for text in said if isinstance(text, str)]
    return "".join(texts) if texts else None


_READERS: Final[dict[str, Reader]] = {
    "message": Talk.message,
    "reasoning": Talk.reason,
    "function_call": Talk.call,
    "function_call_output": Talk.result,
}


def _text(item: Json, key: str, at: str) -> str:
    value = item.get(key)
    if not isinstance(value, str) or (not value and key != "arguments"):
        raise InvalidRequest(f"{at}.{key}: must be a string.", param=f"{at}.{key}")
    return value


def _content(given: object, at: str, *, assistant: bool) -> tuple[Content, str | None]:
    """The content and the refusal. One text is a text, not a list of one: every model takes that."""
    if isinstance(given, str):
        return given, None
    if not isinstance(given, list) or not given:
        raise InvalidRequest(f"{at}: must be a text or a list of parts.", param=at)
    parts = [_part(part, f"{at}[{index}]", assistant=assistant) for index, part in enumerate(given)]
    refusal = "".join(part["refusal"] for part in parts if part["type"] == "refusal") or None
    parts = [part for part in parts if part["type"] != "refusal"]
    if assistant or (len(parts) == 1 and parts[0]["type"] == "text"):
        return "".join(part["text"] for part in parts) if parts else None, refusal
    return parts, None


def _part(part: object, at: str, *, assistant: bool) -> Json:
    kind = part.get("type") if isinstance(part, dict) else None
    if isinstance(part, dict) and isinstance(kind, str):
        if kind in TEXTS:
            return {"type": "text", "text": _string(part, "text", at)}
        if assistant and kind == "refusal":
            return {"type": "refusal", "refusal": _string(part, "refusal", at)}
        if not assistant and kind in _PARTS:
            return _PARTS[kind](part, at)
    known = ("output_text", "refusal") if assistant else ("input_text", *_PARTS)
    raise InvalidRequest(f"{at}.type: must be one of {', '.join(known)}.", param=f"{at}.type")


def _string(part: Json, key: str, at: str) -> str:
    value = part.get(key)
    if not isinstance(value, str):
        raise InvalidRequest(f"{at}.{key}: is missing or of the wrong type.", param=f"{at}.{key}")
    return value


def _refuse_uploads(part: Json, at: str, *keys: str) -> None:
    for key in keys:
        if part.get(key) is not None:
            raise NotSupported(f"{at}.{key}: there is no store of files here; send the content.", param=f"{at}.{key}")


def _image(part: Json, at: str) -> Json:
    _refuse_uploads(part, at, "file_id")
    image = {"url": _string(part, "image_url", at)}
    if (detail := part.get("detail")) in DETAILS:
        image["detail"] = detail
    return {"type": "image_url", "image_url": image}


def _file(part: Json, at: str) -> Json:
    _refuse_uploads(part, at, "file_id", "file_url")
    file = {"file_data": _string(part, "file_data", at)}
    if isinstance(name := part.get("filename"), str):
        file["filename"] = name
    return {"type": "file", "file": file}


def _audio(part: Json, at: str) -> Json:
    if not isinstance(part.get("input_audio"), dict):
        raise InvalidRequest(f"{at}.input_audio: is missing or of the wrong type.", param=f"{at}.input_audio")
    return {"type": "input_audio", "input_audio": part["input_audio"]}


_PARTS: Final[dict[str, Callable[[Json, str], Json]]] = {
    "input_image": _image,
    "input_file": _file,
    "input_audio": _audio,
}


# Out ----------------------------------------------------------------------------------------------------------------


def output_items(message: Message, turn_id: str, *, status: str, summary: bool, logprobs: Json | None) -> list[Json]:
    """What an answer is made of: reasoning, a message, calls of functions. An answer of nothing is an empty message."""
    items: list[Json] = []
    if message.reasoning_content:
        items.append(reasoning_item(own_id("rs", turn_id), message.reasoning_content, summary=summary))
    parts = []
    text = message.content if isinstance(message.content, str) else ""
    if text or not (message.refusal or message.tool_calls):
        parts.append(text_part(text, token_logprobs(logprobs)))
    if message.refusal:
        parts.append({"type": "refusal", "refusal": message.refusal})
    if parts:
        items.append(message_item(own_id("msg", turn_id), parts, status))
    for number, call in enumerate(message.tool_calls or ()):
        items.append(call_item(own_id("fc", turn_id, number), call, status))
    return items


def reasoning_item(item_id: str, text: str, *, summary: bool, status: str = "completed") -> Json:
    """`summary`: the caller asked for one, so the text is where its client shows it."""
    item: Json = {"id": item_id, "type": "reasoning", "summary": [], "status": status}
    if summary:
        item["summary"] = [{"type": "summary_text", "text": text}] if text else []
    else:
        item["content"] = [{"type": "reasoning_text", "text": text}] if text else []
    return item


def message_item(item_id: str, parts: list[Json], status: str) -> Json:
    return {"id": item_id, "type": "message", "status": status, "role": "assistant", "content": parts}


def text_part(text: str, logprobs: list[Json]) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


def call_item(item_id: str, call: Json, status: str) -> Json:
    function = call.get("function") or {}
    item = {
        "id": item_id,
        "type": "function_call",
        "status": status,
        "call_id": call.get("id") or item_id,
        "name": function.get("name") or "",
        "arguments": function.get("arguments") or "",
    }
    if "extra_content" in call:
        item["extra_content"] = call["extra_content"]
    return item


def token_logprobs(logprobs: Json | None) -> list[Json]:
    """A chat's log probabilities in this format, where no list may be null."""
    return [
        {**_logprob(entry), "top_logprobs": [_logprob(other) for other in entry.get("top_logprobs") or ()]}
        for entry in (logprobs or {}).get("content") or ()
    ]


def _logprob(entry: Json) -> Json:
    return {"token": entry.get("token", ""), "logprob": entry.get("logprob", 0.0), "bytes": entry.get("bytes") or []}


# A conversation read back -------------------------------------------------------------------------------------------


def input_items(messages: Sequence[Message], turn_id: str) -> list[Json]:
    """What was put in, in order; each has an id that stays."""
    items: list[Json] = []
    for message in messages:
        if message.role == "assistant":
            items.extend(output_items(message, turn_id, status="completed", summary=False, logprobs=None))
        elif message.role == "tool":
            output = message.content if isinstance(message.content, str) else _parts_of(message.content)
            items.append({"type": "function_call_output", "call_id": message.tool_call_id or "", "output": output})
        else:
            content = _parts_of(message.content)
            items.append({"type": "message", "role": message.role, "content": content})
        items[-1].setdefault("status", "completed")
    for number, item in enumerate(items):
        item["id"] = f"in_{turn_id}_{number}"
    return items


def _parts_of(content: Content) -> list[Json]:
    if not isinstance(content, list):
        return [{"type": "input_text", "text": content or ""}]
    return [_written(part) for part in content]


def _written(part: Json) -> Json:
    kind = part["type"]
    if kind == "text":
        return {"type": "input_text", "text": part["text"]}
    if kind == "image_url":
        image = part["image_url"]
        return {"type": "input_image", "image_url": image.get("url"), "detail": image.get("detail", "auto")}
    if kind == "file":
        return {"type": "input_file", **part["file"]}
    return {"type": kind, kind: part[kind]}
