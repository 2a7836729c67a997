"""What routing rules can ask about a request, and what of it a decision record keeps.

Importable without Django being set up."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any, Final

from engine import estimating
from engine.tags import primary
from engine.types import ChatRequest, Json, Message, Principal, RawHeaders
from routing.complexity import complexity_score
from routing.conditions import METADATA
from routing.headers import HEADER, LONGEST_NAME, is_plain, kept_name

__all__ = ["Features", "complexity_score", "conversation_score"]

MEMORY: Final = 8  # messages of the user that count, the newest included
TEXT: Final = 256  # characters of one text
KEYS: Final = 64  # entries of the request's metadata on record,
ITEMS: Final = 64  # members of a list in it,
HEADERS: Final = 16  # headers on record,
ROOM: Final = 8192  # characters of either, unless a rule reads more
_CONTENT: Final = attrgetter("content")
NAMED: Final = 8  # of either that a record has no room for but for their names
LARGEST: Final = 2**63  # numbers beyond are no longer exact everywhere a record goes
KEPT: Final = 0.75  # of what was before, by a message with a subject of its own
_TERSE: Final = 24  # bytes; a message so short has no subject of its own
_BRIEF: Final = 80  # bytes; nor has one so short that refers to what was said
_REFERRING: Final = re.compile(
    r"\b(?:it|its|this|that|these|those|them|above|again|same|previous|continue|proceed|keep going|go on)\b"
    "|它|这|那|上面|上述|刚才|继续|接着|再来|同样|還|繼續|這|剛才",
    re.IGNORECASE,
)
_IMAGE_PARTS: Final = frozenset({"image", "image_url", "input_image"})


def conversation_score(texts: Iterable[str]) -> float:
    """The complexity of a conversation from what its user said, newest first: up at once, down slowly.

    A message with a subject of its own keeps three quarters of what was before it; one without ("commit it") keeps
    all. So the score is the newest message's own, or an earlier one's less what was lost since."""
    score, kept = 0.0, 1.0
    newer: str | None = None
    for text in islice(texts, MEMORY):
        if newer is not None:
            if not _follows(newer):
                kept *= KEPT
            if score >= kept:  # nothing earlier can count for more
                break
        score = max(score, kept * complexity_score(text, said_before=newer is not None))
        newer = text
    return round(score, 4)


def _follows(text: str) -> bool:
    if len(text) > _BRIEF:
        return False
    size = len(text.encode("utf-8", "surrogatepass"))
    return size <= _TERSE or size <= _BRIEF and _REFERRING.search(text) is not None


class Features(dict[str, Any]):
    """A mapping from a condition's fields to values; None where the request has no such thing.

    What is cheap is there from the first, the complexity score, metadata and headers when a condition reads them or
    when they are put on record. Conditions read exactly what a record can hold: a text longer than `TEXT` counts as
    absent. `found` is what plugins found out (`language`, `intent`, `intent_score`); it goes before what the
    request says of itself."""

    __slots__ = ("how", "messages", "principal", "request")

    def __init__(
        self, principal: Principal, request: ChatRequest, messages: Sequence[Message], found: Json, now: float
    ) -> None:
        super().__init__(
            model=request.model,
            max_tokens=request.max_tokens,
            temperature=request.temperature,
            stream=request.stream,
            prompt_tokens=estimating.messages_tokens(messages),
            language=primary(tag) if (tag := _word(found, "language") or request.language) else None,
            intent=_word(found, "intent") if found else None,
            intent_score=_share(found, "intent_score") if found else None,
            has_tools=bool(request.tools),
            has_images=_have_images(messages),
            user=request.user or principal.user,
            hour=int(now) // 3600 % 24,
        )
        self.principal = principal
        self.request = request
        self.messages = messages
        self.how = _how(found, tag) if found and "language_source" in found else None

    def __missing__(self, name: str) -> Any:
        value: Any = None
        if name == "complexity_score":
            value = self._complexity()
        elif name.startswith(METADATA):
            value = _plain(self.request.metadata.get(name.removeprefix(METADATA)))
        elif name.startswith(HEADER):
            value = self._header(name.removeprefix(HEADER).encode("latin-1"))
        self[name] = value
        return value

    def record(self, reads: Sequence[str] = ()) -> Json:
        """`features`, every one there is, for the decision record: so a replay under other rules needs no text. `reads`
        are fields of conditions that count before others where there are more than a record holds.

        Where the features do not say it themselves: `cut` are those there was no room for (`metadata.` or `header.`
        alone: some of them) or that look like a secret, `absent` are those of `reads` the request did not have.
        `language` says how a plugin found it out: `tag`, `source`, `confidence`."""
        self["complexity_score"]
        request = self.request
        for name in reads:
            self[name]
        record = {name: value for name, value in self.items() if value is not None}
        cut: list[str] = []
        if request.metadata:
            more = {METADATA + key: _plain(value) for key, value in islice(request.metadata.items(), KEYS)}
            left = _fill(record, more, [name for name in reads if name.startswith(METADATA)], KEYS)
            cut += _named(METADATA, left) if len(request.metadata) <= KEYS else [METADATA]
        if request.headers and (kept := _kept(request.headers)):
            plain = {name: value for name, value in kept.items() if value is not None and is_plain(value)}
            left = _fill(record, plain, [name for name in reads if name.startswith(HEADER)], HEADERS)
            left += [name for name, value in kept.items() if value and name not in plain and name not in record]
            cut += _named(HEADER, left)
        said: Json = {"features": record}
        if cut:
            said["cut"] = cut
        if reads and (absent := [name for name in reads if name not in record and may_be_left_out(name, cut)]):
            said["absent"] = absent
        if self.how:
            said["language"] = self.how
        return said

    def _header(self, wanted: bytes) -> str | None:
        found = [value for name, value in self.request.headers if name == wanted or name.lower() == wanted]
        return _text_within(b", ".join(found).decode("latin-1")) if found else None

    def _complexity(self) -> float:
        return conversation_score(_said(self.messages))


def may_be_left_out(name: str, cut: Sequence[str]) -> bool:
    """Whether a record without this field may lack it though the request had it. `cut` is the record's."""
    if name.startswith(METADATA):
        return METADATA in cut or name in cut
    if name.startswith(HEADER):
        return HEADER in cut or name in cut or not kept_name(name.removeprefix(HEADER).encode("latin-1"))
    return False


def _named(prefix: str, names: Sequence[str]) -> Sequence[str]:
    """The names themselves as long as these are few and short."""
    return names if len(names) <= NAMED and all(len(name) <= TEXT for name in names) else [prefix]


def _kept(headers: RawHeaders) -> Json:
    """Those that may go on record though no rule reads them."""
    found: dict[str, bytes] = {}
    for raw, value in headers:
        if raw[:2] == b"x-" and len(raw) <= LONGEST_NAME and (name := kept_name(raw)):
            before = found.get(name)
            if before is None:
                found[name] = value
            elif len(before) <= TEXT:
                found[name] = before + b", " + value
    return {name: _text_within(value.decode("latin-1")) for name, value in found.items()}


def _fill(record: Json, more: Json, read: Sequence[str], limit: int) -> list[str]:
    """Takes in what there is room for beside what rules have `read`; the names of the rest."""
    held = [name for name in read if name in record] if read else ()
    count, room = len(held), ROOM
    left: list[str] = []
    for name in held:
        room -= len(name) + _size(record[name])
    for name, value in more.items():
        if value is None or name in record:
            continue
        size = len(name) + _size(value)
        if count < limit and size <= room and len(name) <= TEXT:
            record[name] = value
            count, room = count + 1, room - size
        else:
            left.append(name)
    return left


def _plain(value: Any) -> Any:
    """A scalar, or the scalars of a list, as far as a record holds them; None: nothing of it."""
    if isinstance(value, str):
        return _text_within(value)
    if isinstance(value, list):
        scalars = [None if isinstance(item, list) else _plain(item) for item in value[:ITEMS]]
        return [item for item in scalars if item is not None]
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return value if abs(value) < LARGEST else None
    return None


def _text_within(text: str) -> str | None:
    return text if len(text) <= TEXT and "\0" not in text else None


def _size(value: Any) -> int:
    """About how many characters a record spends on it."""
    if isinstance(value, str):
        return len(value)
    return sum(map(_size, value)) if isinstance(value, list) else 8


def _word(found: Json, name: str) -> str | None:
    value = found.get(name)
    return value if isinstance(value, str) and value else None


def _share(found: Json, name: str) -> float | None:
    value = found.get(name)
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else None


def _how(found: Json, tag: str | None) -> Json:
    return {"tag": tag, "source": _word(found, "language_source"), "confidence": found.get("language_confidence")}


def _have_images(messages: Sequence[Message]) -> bool:
    if list not in map(type, map(_CONTENT, messages)):
        return False
    for message in messages:
        content = message.content
        if isinstance(content, list) and any(part.get("type") in _IMAGE_PARTS for part in content):
            return True
    return False


def _said(messages: Sequence[Message]) -> Iterator[str]:
    """By the user, newest first."""
    for message in reversed(messages):
        if message.role == "user" and (text := _text(message)) and not text.isspace():
            yield text


def _text(message: Message) -> str:
    if isinstance(message.content, str):
        return message.content
    parts = (part.get("text") for part in message.content or ())
    return "\n".join(text for text in parts if isinstance(text, str))
