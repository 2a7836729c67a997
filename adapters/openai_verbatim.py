"""The bytes of an answer in the OpenAI chat format as they may go on to a caller of the same format.

The members of an event or answer go on byte for byte but for those that are the gateway's to say (`OWN`). What decoded
is not yet fit for that: a member may be named twice, which readers take differently, bytes that nobody read may be no
UTF-8, a service has forms of its own for what callers are promised in one. Whatever is not fit is encoded anew.

To look so closely takes several microseconds, and most events of a stream differ from the one before in one text alone:
those are known by their bytes before and behind it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, NamedTuple, NoReturn

import msgspec

from engine.types import Delta, Json

# What the gateway says itself: whose answer it is, by which public name, what it counts as, and its own member.
OWN: Final = frozenset({"id", "object", "created", "model", "usage", "error", "clawdbot"})
REASONS: Final = frozenset({"stop", "length", "tool_calls", "content_filter"})
ENDED_OR_NOT: Final = REASONS | {None}
STRING_OR_NONE: Final = (str, type(None))
SPOKEN: Final = ("content", "reasoning_content", "refusal")
GROWING: Final = (b'"content":', b'"reasoning_content":', b'"arguments":')  # a stream's texts
PADDING: Final = b'"obfuscation":'  # OpenAI's, so that nobody tells tokens by the sizes of events
TEXT: Final = re.compile(rb'[^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+')  # within its quotes
PAD: Final = re.compile(rb"[A-Za-z0-9]*+")
MOST_SILENT: Final = 256  # events that say nothing are kept for the next one that does
MOST_NAMES: Final = 16  # a service that answers as ever another model is not followed
LARGE: Final = 64 * 1024
MOST_VALUES: Final = 50_000  # of what is large: to look at each of millions takes seconds, in which nobody is served

INDEX: Final = attrgetter("index")

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


def _once(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member is named twice")
    return found


def _no_number(spelling: str) -> NoReturn:
    raise ValueError(f"{spelling} is no JSON")


_dumps = json.JSONEncoder(ensure_ascii=False).encode
_strict = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_number).decode


class _Shape(NamedTuple):
    """An event around its one text, as it came (`head`, `tail`) and as it goes on (`before`, `after`). `padded`: behind
    the tail is one more text, of letters and digits, and the end."""

    head: bytes
    tail: bytes
    before: bytes
    after: bytes
    padded: bool


class Verbatim:
    """Of one answer, which somebody else reads: `add` each event that was read, then ask for `burst` with what they
    said; or only `whole` where nothing is `streamed`; in the end `end`. None: it is to be encoded anew.

    Nothing of it holds one of the names of `hidden` but what is said by the model, nor the service's own for it unless
    that is `shown_as`."""

    __slots__ = ("_begun", "_ended", "_ends", "_hidden", "_pieces", "_roles", "_shape", "_shown_as", "_streamed")

    def __init__(self, shown_as: str, hidden: Iterable[str], streamed: bool) -> None:
        self._shown_as = shown_as
        self._streamed = streamed
        self._hidden = [name for name in hidden if name and name != shown_as]
        self._shape: _Shape | None = None
        self._pieces: list[bytes] | None = []  # since the last burst
        self._ends: list[bytes] = []  # events that end choices: they wait for the end of all
        self._ended: dict[int, str] = {}  # choice: the reason in those
        self._roles: set[int] = set()  # choices whose role is among the pieces,
        self._begun: set[int] = set()  # or has left

    def add(self, data: bytes, spoke: bool) -> None:
        """An event that was read, as it came; `spoke`: something was said in it."""
        pieces, shape = self._pieces, self._shape
        if pieces is None:
            return
        if shape is not None and data.startswith(shape.head) and (piece := self._alike(shape, data)) is not None:
            pieces.append(piece)
            if spoke:
                return
        elif not self._look(data, spoke):
            self._pieces = None
        if not spoke and self._pieces is not None and len(self._pieces) > MOST_SILENT:
            self._pieces = None

    def add_lines(self, lines: bytes, spoke: Sequence[bool]) -> None:
        """The same for events that are a line each, as many as there are in `spoke`."""
        found = lines.split(b"\n")
        if len(found) != len(spoke):
            self._pieces = None
            return
        number = tries = 0
        while number < len(found):
            taken = 0
            if self._shape is not None and tries < 2:  # each may look at all of them
                tries += 1
                taken = self._add_alike(found, number)
            if not taken:
                self.add(found[number], spoke[number])
            number += taken or 1
        if self._pieces is not None and len(self._pieces) > MOST_SILENT and not any(spoke):
            self._pieces = None

    def _add_alike(self, found: Sequence[bytes], number: int) -> int:
        """Takes the events from that one on that differ in their texts alone, all at once; how many."""
        shape, pieces = self._shape, self._pieces
        if shape is None or pieces is None or shape.padded or self._alike(shape, found[number]) is None:
            return 0
        stop = len(found)
        while not (found[stop - 1].startswith(shape.head) and found[stop - 1].endswith(shape.tail)):
            stop -= 1  # to that one at the latest
        begin, end = len(shape.head), -len(shape.tail)
        texts = [line[begin:end] for line in found[number:stop]]
        between = shape.tail + b"\n" + shape.head
        if shape.head + between.join(texts) + shape.tail != b"\n".join(found[number:stop]):
            return 0
        together = b'"'.join(texts)  # no sign of UTF-8 goes across a quotation mark
        if not _is_utf8(together):
            return 0
        if (b"\\" in together or together.count(b'"') != len(texts) - 1) and not all(map(TEXT.fullmatch, texts)):
            return 0
        pieces += [shape.before + text + shape.after for text in texts]
        return len(texts)

    def burst(self, deltas: Sequence[Delta]) -> list[bytes] | None:
        """The members of the events since the last call, in which this was said."""
        pieces, self._pieces = self._pieces, []
        if pieces is not None and not self._roles and len(deltas) == 1 and deltas[0].index in self._begun:
            return pieces  # as nearly always
        said = set(map(INDEX, deltas))
        if pieces is None or not said <= self._begun | self._roles:  # the first of a choice says its role
            self._begun |= said
            self._roles.clear()
            return None
        self._begun |= self._roles
        self._roles.clear()
        return pieces

    def end(self, reasons: Mapping[int, str]) -> list[bytes] | None:
        """The members of what ends these choices, all there are, for these reasons."""
        if self._pieces is None or self._ended != reasons or not reasons.keys() <= self._begun | self._roles:
            return None
        return [*self._pieces, *self._ends]

    def spoil(self) -> None:
        """Something was said that is not among the pieces."""
        self._pieces = None

    def whole(self, data: bytes) -> None:
        """An answer that was read and came in one piece. As a stream, where one was asked for, it is made anew."""
        found = self._fit(data) if not self._streamed else None
        self._pieces = None
        if found is None:
            return
        body, members = found
        choices = body.get("choices")
        if not isinstance(choices, list) or not choices or not all(map(_is_whole, choices)):
            return
        ended = {choice["index"]: choice["finish_reason"] for choice in choices}
        if len(ended) < len(choices) or not self._hides(body.get("model")):
            return
        if self._is_discreet(body, members, [choice["message"] for choice in choices]):
            self._pieces = [members]
            self._ended, self._roles = ended, set(ended)

    def _look(self, data: bytes, spoke: bool) -> bool:
        """Takes an event that is fit to go on, or need not."""
        found = None if b"\n" in data else self._fit(data)  # a line of its own would be another field
        if found is None:
            return False
        body, members = found
        if not self._hides(body.get("model")):
            return False
        choices = body.get("choices")
        if not choices and not spoke:
            return True  # callers index into choices: an event without any is for those who asked for the usage
        if not isinstance(choices, list) or not all(map(_is_piece, choices)):
            return False
        if not self._is_discreet(body, members, [choice["delta"] for choice in choices]):
            return False
        roles = {choice["index"] for choice in choices if choice["delta"].get("role")}
        first = not roles <= self._roles | self._begun  # nothing else of these choices is like it
        self._roles |= roles
        ended = {choice["index"]: choice["finish_reason"] for choice in choices if choice.get("finish_reason")}
        if ended and (spoke or len(ended) != len(choices) or not self._ended.keys().isdisjoint(ended)):
            return False  # what was said leaves at once, its end, of which there is one, not before it is on record
        if ended:
            self._ended |= ended
            self._ends.append(members)
            return len(self._ends) <= MOST_SILENT
        assert self._pieces is not None
        self._pieces.append(members)
        self._shape = None if first else _shape(data, members, choices)
        return True

    @staticmethod
    def _alike(shape: _Shape, data: bytes) -> bytes | None:
        """An event that differs in its text alone from one that was fit; it may, by its head."""
        head, tail, before, after, padded = shape
        stop, pad = len(data) - len(tail), b""
        if padded:
            stop = data.rfind(tail, len(head))
            pad = data[stop + len(tail) : -1]
            if stop < 0 or not data.endswith(b'"}') or not PAD.fullmatch(pad, 0, len(pad) - 1):
                return None
        elif not data.endswith(tail):
            return None
        if stop < len(head):
            return None
        text = data[len(head) : stop]
        if (b"\\" in text or b'"' in text) and not TEXT.fullmatch(text):
            return None
        return before + text + after + pad if text.isascii() or _is_utf8(text) else None

    def _fit(self, data: bytes) -> tuple[Json, bytes] | None:
        """A body and its members that may go on; None where no two readers need agree on what it says."""
        if len(data) > LARGE and data.count(b",") + data.count(b"{") > MOST_VALUES:
            return None
        try:
            body = _decode(data)
            if _encode(body) == data:  # as most services spell: then so are its parts, and none was lost
                return body, _encode({name: value for name, value in body.items() if name not in OWN})[1:-1]
            body, members = _strict(data.decode()), _members(data)
        except (ValueError, RecursionError):
            return None
        kept = [b"%b:%b" % (_encode(name), bytes(value)) for name, value in members.items() if name not in OWN]
        return body, b",".join(kept)

    def _hides(self, own: Any) -> bool:
        """The service's own name for the model, from here on to the answer's end."""
        if isinstance(own, str) and own and own != self._shown_as and own not in self._hidden:
            if len(self._hidden) >= MOST_NAMES:
                return False
            self._hidden.append(own)
        return True

    def _is_discreet(self, body: Json, members: bytes, said: Sequence[Json]) -> bool:
        """Whether no name that is not for callers is in it, but in what the model says."""
        text, escaped = members.decode(), b"\\" in members
        if escaped:  # a name may be spelled in other ways
            try:
                text = _dumps({name: value for name, value in body.items() if name not in OWN})
            except RecursionError:
                return False
        for name in self._hidden:
            spelled = _dumps(name)[1:-1] if escaped else name
            if spelled in text:
                spoken = [value for one in said for key in SPOKEN if isinstance(value := one.get(key), str)]
                if text.count(spelled) != sum(value.count(name) for value in spoken):
                    return False
        return True


def _is_piece(choice: Any) -> bool:
    """Whether a choice of an event is in the form that callers are promised."""
    return (
        isinstance(choice, dict)
        and type(choice.get("index")) is int
        and isinstance(choice.get("delta"), dict)
        and "message" not in choice
        and "text" not in choice
        and choice.get("usage") is None
        and choice.get("finish_reason", "none") in ENDED_OR_NOT
        and choice["delta"].get("role", "assistant") in ("assistant", None)
        and _is_said(choice["delta"])
        and (not (calls := choice["delta"].get("tool_calls")) or all(map(_is_fragment, calls)))
    )


def _is_whole(choice: Any) -> bool:
    return (
        isinstance(choice, dict)
        and type(choice.get("index")) is int
        and isinstance(choice.get("message"), dict)
        and choice.keys().isdisjoint(("delta", "text"))
        and choice.get("usage") is None
        and choice.get("finish_reason") in REASONS
        and choice["message"].get("role") == "assistant"
        and "content" in choice["message"]
        and _is_said(choice["message"])
        and all(_is_call(call, number) for number, call in enumerate(choice["message"].get("tool_calls") or ()))
    )


def _is_said(said: Json) -> bool:
    """Content in parts, reasoning by another name and the one call of the older form are told in one form to all."""
    return (
        isinstance(said.get("content"), STRING_OR_NONE)
        and isinstance(said.get("reasoning_content"), STRING_OR_NONE)
        and isinstance(said.get("refusal"), STRING_OR_NONE)
        and not (said.get("reasoning") or said.get("function_call"))
    )


def _is_fragment(call: Any) -> bool:
    return (
        isinstance(call, dict)
        and type(call.get("index")) is int
        and (not call.get("id") or call.get("type") == "function")
        and isinstance(call.get("function"), dict)
    )


def _is_call(call: Any, number: int) -> bool:
    function = call.get("function") if isinstance(call, dict) else None
    return (
        isinstance(function, dict)
        and bool(call.get("id"))
        and call.get("index") in (None, number)
        and call.get("type") == "function"
        and isinstance(function.get("name"), str)
        and isinstance(function.get("arguments"), str)
    )


def _shape(data: bytes, members: bytes, choices: list[Json]) -> _Shape | None:
    """What events like this one have in common, where it has one text that others may differ in."""
    for name in GROWING:
        if data.count(name) != 1 or members.count(name) != 1:
            continue
        head, before = _until(data, name), _until(members, name)
        if head is None or before is None:
            continue
        text = TEXT.match(data, len(head))
        assert text is not None
        tail, after = data[text.end() :], members[len(before) + len(text.group()) :]
        if not _is_said_there(choices, before + text.group(), after):
            continue
        if (
            tail.count(PADDING) == after.count(PADDING) == 1
            and (padded := _until(tail, PADDING))
            and (ends := _until(after, PADDING))
        ):
            if PAD.fullmatch(tail, len(padded), len(tail) - 2) and after.endswith(tail[len(padded) : -1]):
                return _Shape(head, padded, before, ends, True)
        return _Shape(head, tail, before, after, False)
    return None


def _is_said_there(choices: list[Json], before: bytes, after: bytes) -> bool:
    """Whether the text between is something of what the model says, and no other member of that name: a longer one
    says something else."""
    try:
        longer = _decode(b"{%b.%b}" % (before, after))["choices"]
    except (ValueError, RecursionError):
        return False
    return list(_growing(choices)) != list(_growing(longer))


def _growing(choices: list[Json]) -> Iterable[Any]:
    for choice in choices:
        delta = choice["delta"]
        yield delta.get("content"), delta.get("reasoning_content")
        for call in delta.get("tool_calls") or ():
            yield call["function"].get("arguments")


def _until(data: bytes, name: bytes) -> bytes | None:
    """All before the text of this name; None: there is none."""
    end = data.index(name) + len(name)
    end += 2 if data[end : end + 1] == b" " else 1  # as Python's json writes
    return data[:end] if data[end - 1 : end] == b'"' else None


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode()
    except ValueError:
        return False
    return True
