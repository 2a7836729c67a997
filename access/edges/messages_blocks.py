"""A conversation of the Messages format as the messages every edge hands to the engine.

Source: the Claude API reference, Messages. What a block says is where it always is: texts and images are parts of
`content`, calls `tool_calls`, results messages of the role `tool`, thinking `reasoning_content`. The order of an
assistant's blocks and what vouches for its thinking are beside it (see `adapters.layouts`), so that a service of the
same format gets the same blocks again. Blocks that cannot be carried are refused, never left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import orjson

from access.edges import messages_seals
from access.schemas import cache_mark
from adapters import layouts, thoughts
from adapters.conversations import UNTITLED
from engine.errors import InvalidRequest, NotSupported
from engine.types import Content, Json, Message

CACHE: Final = "cache_control"
IMAGES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})


def instructions(system: str | list[Any] | None, at: str = "system") -> list[Message]:
    if not system:
        return []
    if isinstance(system, str):
        return [Message("system", system)]
    parts: list[Json] = []
    for kind, block, place in _blocks(system, at):
        if kind != "text":
            raise wrong(f"{place}.type", "must be text")
        parts += _text(block, place)
    return [Message("system", _tidy(parts))] if parts else []


def said(messages: Sequence[Json]) -> list[Message]:
    """Raises InvalidRequest, NotSupported."""
    found: list[Message] = []
    for number, message in enumerate(messages):
        at, role, content = f"messages.{number}", message.get("role"), message.get("content")
        reader = ROLES.get(role) if isinstance(role, str) else None
        if reader is None:
            raise wrong(f"{at}.role", f"must be one of {', '.join(ROLES)}")
        if not isinstance(content, str | list):
            raise wrong(f"{at}.content", "must be a string or a list of blocks")
        found += reader(content, f"{at}.content")
    if not found:
        raise wrong("messages", "nothing is said in them")
    return found


def marked(messages: list[Message], mark: Json) -> list[Message]:
    """With the mark of a request that leaves caching to the service: at the end of what is said."""
    last, mark = messages[-1], cache_mark(mark)
    if last.tool_calls:
        calls = [*last.tool_calls[:-1], {CACHE: mark, **last.tool_calls[-1]}]
        return [*messages[:-1], msgspec.structs.replace(last, tool_calls=calls)]
    parts = _parts(last.content)
    content = [*parts[:-1], {CACHE: mark, **parts[-1]}] if parts else last.content
    return [*messages[:-1], msgspec.structs.replace(last, content=content)]


def wrong(at: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"{at}: {what}.", param=at)


def text_of(block: Json, name: str, at: str) -> str:
    value = block.get(name)
    if not isinstance(value, str):
        raise wrong(f"{at}.{name}", "must be a string")
    return value


def _blocks(content: list[Any], at: str) -> list[tuple[str, Json, str]]:
    """Each with its type and its place."""
    found = []
    for number, block in enumerate(content):
        place = f"{at}.{number}"
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            raise wrong(place, "must be a block with a type")
        found.append((block["type"], block, place))
    return found


# Users ------------------------------------------------------------------------------------------------------------


def _user(content: str | list[Any], at: str) -> list[Message]:
    """Results of tools come first, whatever was said before them in the same breath: no format takes them later."""
    if isinstance(content, str):
        if not content:
            raise wrong(at, "must not be empty")
        return [Message("user", content)]
    results: list[Message] = []
    parts: list[Json] = []
    for kind, block, place in _blocks(content, at):
        if kind == "tool_result":
            results.append(_result(block, place))
        else:
            parts += _part(kind, block, place)
    if not results and not parts:
        raise wrong(at, "must not be empty")
    return [*results, *([Message("user", _tidy(parts))] if parts else [])]


def _result(block: Json, at: str) -> Message:
    call_id, content, failed = block.get("tool_use_id"), block.get("content"), block.get("is_error")
    if not isinstance(call_id, str) or not call_id:
        raise wrong(f"{at}.tool_use_id", "must be the id of a call")
    if failed is not None and not isinstance(failed, bool):
        raise wrong(f"{at}.is_error", "must be true or false")
    if content is None or isinstance(content, str):
        parts = _parts(content)
    elif isinstance(content, list):
        parts = [part for kind, each, place in _blocks(content, f"{at}.content") for part in _part(kind, each, place)]
    else:
        raise wrong(f"{at}.content", "must be a string or a list of blocks")
    if parts:
        parts[-1] = _cached(parts[-1], block)
    extra: Json | None = {"is_error": True} if failed else None
    return Message("tool", _tidy(parts) if parts else "", tool_call_id=call_id, extra_content=extra)


def _part(kind: str, block: Json, at: str) -> list[Json]:
    reader = PARTS.get(kind)
    if reader is None:
        raise NotSupported(f"{at}.type: {kind[:64]} cannot be carried here.", param=f"{at}.type")
    return reader(block, at)


def _text(block: Json, at: str) -> list[Json]:
    text = text_of(block, "text", at)
    return [_cached({"type": "text", "text": text}, block)] if text else []


def _image(block: Json, at: str) -> list[Json]:
    kind, source = _source(block, at)
    if kind == "base64":
        media_type, data = text_of(source, "media_type", f"{at}.source"), text_of(source, "data", f"{at}.source")
        if media_type not in IMAGES:
            raise wrong(f"{at}.source.media_type", f"must be one of {', '.join(sorted(IMAGES))}")
        address = f"data:{media_type};base64,{data}"
    elif kind == "url":
        address = _address(source, at)
    else:
        raise _no_source(kind, at)
    return [_cached({"type": "image_url", "image_url": {"url": address}}, block)]


def _document(block: Json, at: str) -> list[Json]:
    """A PDF is a file, a text or a list of blocks what is in it, under its title."""
    kind, source = _source(block, at)
    title = block.get("title")
    if title is not None and not isinstance(title, str):
        raise wrong(f"{at}.title", "must be a string")
    citations = block.get("citations")
    if isinstance(citations, dict) and citations.get("enabled"):
        raise NotSupported(f"{at}.citations: answers are handed out without citations.", param=f"{at}.citations")
    if block.get("context"):
        raise NotSupported(f"{at}.context: say it in a text block.", param=f"{at}.context")
    if kind == "base64":
        if source.get("media_type") != "application/pdf":
            raise wrong(f"{at}.source.media_type", "must be application/pdf")
        data = f"data:application/pdf;base64,{text_of(source, 'data', f'{at}.source')}"
        return [_cached({"type": "file", "file": {"filename": title or UNTITLED, "file_data": data}}, block)]
    if kind == "text":
        parts = _parts(text_of(source, "data", f"{at}.source"))
    elif kind == "content":
        parts = _content(source.get("content"), f"{at}.source.content")
    else:
        raise _no_source(kind, at)
    if parts:
        parts[-1] = _cached(parts[-1], block)
    return [*_parts(title), *parts]


def _content(content: Any, at: str) -> list[Json]:
    if isinstance(content, str):
        return _parts(content)
    if not isinstance(content, list):
        raise wrong(at, "must be a string or a list of blocks")
    return [part for kind, block, place in _blocks(content, at) for part in _part(kind, block, place)]


PARTS: Final[dict[str, Callable[[Json, str], list[Json]]]] = {"text": _text, "image": _image, "document": _document}


def _source(block: Json, at: str) -> tuple[str, Json]:
    source = block.get("source")
    kind = source.get("type") if isinstance(source, dict) else None
    if not isinstance(source, dict) or not isinstance(kind, str):
        raise wrong(f"{at}.source", "must be an object with a type")
    return kind, source


def _no_source(kind: str, at: str) -> NotSupported:
    return NotSupported(f"{at}.source.type: {kind[:64]} cannot be carried here.", param=f"{at}.source.type")


def _address(source: Json, at: str) -> str:
    url = text_of(source, "url", f"{at}.source")
    if not url.startswith(("http://", "https://")):
        raise wrong(f"{at}.source.url", "must be an http address")
    return url


# Assistants -------------------------------------------------------------------------------------------------------


class _Answer:
    """An assistant's message as its blocks are read."""

    def __init__(self) -> None:
        self.parts: list[Json] = []
        self.calls: list[Json] = []
        self.reasoning: list[str] = []
        self.layout: list[Json] = []
        self.extra: Json = {}  # of the call that comes next
        self.vouched: list[Json] = []  # thinking since the call before
        self.sealed = False  # thinking came with a call

    def text(self, block: Json, at: str) -> None:
        parts = _text(block, at)
        self.parts += parts
        self.layout += [{"type": layouts.TEXT} for _ in parts]

    def thinking(self, block: Json, at: str) -> None:
        text, signature = text_of(block, "thinking", at), block.get("signature") or ""
        if not isinstance(signature, str):
            raise wrong(f"{at}.signature", "must be a string")
        self.reasoning.append(text)
        vouched = {"characters": len(text), "signature": signature}
        self.layout.append({"type": layouts.THINKING, **vouched})
        if signature:
            self.vouched.append(vouched)

    def redacted_thinking(self, block: Json, at: str) -> None:
        data = text_of(block, "data", at)
        extra = messages_seals.opened(data, f"{at}.data")
        if extra is not None:
            self.extra.update(extra)
            self.sealed = self.sealed or thoughts.EXTRA in extra
            return
        self.layout.append({"type": layouts.REDACTED, "data": data})
        self.vouched.append({"data": data})

    def tool_use(self, block: Json, at: str) -> None:
        call_id, name, given = text_of(block, "id", at), text_of(block, "name", at), block.get("input")
        if not call_id or not name:
            raise wrong(at, "needs an id and a name")
        if not isinstance(given, dict):
            raise wrong(f"{at}.input", "must be an object")
        if self.vouched:
            self.extra = {thoughts.EXTRA: {thoughts.BLOCKS: self.vouched}, **self.extra}
        function = {"name": name, "arguments": orjson.dumps(given).decode()}
        call: Json = {"id": call_id, "type": "function", "function": function}
        if self.extra:
            call["extra_content"] = self.extra
        self.extra, self.vouched = {}, []
        self.calls.append(_cached(call, block))
        self.layout.append({"type": layouts.CALL})

    def message(self) -> Message:
        kinds = [mark["type"] for mark in self.layout]
        plain = kinds == [layouts.TEXT] * len(self.parts) + [layouts.CALL] * len(self.calls)
        return Message(
            "assistant",
            _tidy(self.parts) if self.parts else None if self.calls else "",
            tool_calls=self.calls or None,
            reasoning_content="".join(self.reasoning) or None,
            extra_content=None if plain or self.sealed else {layouts.LAYOUT: self.layout},
        )


SAYINGS: Final[dict[str, Callable[[_Answer, Json, str], None]]] = {
    "text": _Answer.text,
    "thinking": _Answer.thinking,
    "redacted_thinking": _Answer.redacted_thinking,
    "tool_use": _Answer.tool_use,
}


def _assistant(content: str | list[Any], at: str) -> list[Message]:
    """None where nothing was said."""
    if isinstance(content, str):
        return [Message("assistant", content)] if content else []
    answer = _Answer()
    for kind, block, place in _blocks(content, at):
        read = SAYINGS.get(kind)
        if read is None:
            raise NotSupported(f"{place}.type: {kind[:64]} cannot be carried here.", param=f"{place}.type")
        read(answer, block, place)
    return [answer.message()] if answer.layout else []


ROLES: Final[dict[str, Callable[[str | list[Any], str], list[Message]]]] = {
    "user": _user,
    "assistant": _assistant,
    "system": instructions,
}


# Parts ------------------------------------------------------------------------------------------------------------


def _parts(content: Content) -> list[Json]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []


def _tidy(parts: list[Json]) -> Content:
    """A text alone is said plainly: every service takes that."""
    if len(parts) == 1 and parts[0]["type"] == "text" and CACHE not in parts[0]:
        text: str = parts[0]["text"]
        return text
    return parts


def _cached(part: Json, block: Json) -> Json:
    mark = block.get(CACHE)
    return {**part, CACHE: cache_mark(mark)} if isinstance(mark, dict) else part
