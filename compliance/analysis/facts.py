"""What is read of an entry, and nothing else of it is decoded. What is of another form than expected is as if it were
not there: an entry must never stop who reads the journal."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from compliance.journal.following import Followed
from compliance.sealing import body
from compliance.sealing.body import BodyBroken

T = TypeVar("T")


class Spoken(msgspec.Struct, frozen=True):
    role: Any = ""
    content: Any = None


class Found(msgspec.Struct, frozen=True):
    """Features of the request that plugins found."""

    language: Any = None
    intent: Any = None
    intent_score: Any = None


class Decided(msgspec.Struct, frozen=True):
    features: Found = Found()
    fallback: Any = None


class Hit(msgspec.Struct, frozen=True):
    """`word` is there in what was sealed only."""

    list: str
    action: str
    where: str
    word: str = ""


class Asked(msgspec.Struct, frozen=True):
    """Of an intent."""

    edge: str = ""
    messages: list[Spoken] = []
    decision: Decided = Decided()
    verdicts: list[Hit] = []
    personal: dict[str, int] = {}
    parent_turn: str = ""


class Begun(msgspec.Struct, frozen=True):
    """Of the readable part of an intent."""

    parent: int = 0
    edge: str = ""
    parent_turn: str = ""


class Failed(msgspec.Struct, frozen=True):
    instance: str = ""
    error: str = ""


class Skipped(msgspec.Struct, frozen=True):
    plugin: str = ""
    hook: str = ""
    reason: str = ""


class Ended(msgspec.Struct, frozen=True):
    """Of the readable part of a completion."""

    edge: str = ""
    error: str = ""
    source: str = "model"
    retries: list[Failed] = []
    verdicts: list[Hit] = []
    ttft: float | None = None
    duration: float = 0.0
    instance_id: int = 0
    skipped: list[Skipped] = []
    parent_turn: str = ""


class Judged(msgspec.Struct, frozen=True):
    """Of the sealed part of a completion."""

    verdicts: list[Hit] = []


_asked: Final = msgspec.json.Decoder(Asked)
_begun: Final = msgspec.json.Decoder(Begun)
_ended: Final = msgspec.json.Decoder(Ended)
_judged: Final = msgspec.json.Decoder(Judged)
NOTHING_ASKED: Final = Asked()
_NOT_BEGUN: Final = Begun(parent=-1)
_NOT_ENDED: Final = Ended()
_NOT_JUDGED: Final = Judged()


def asked(opened: bytes) -> Asked:
    """Of an opened intent."""
    return _read(_asked, opened, NOTHING_ASKED)


def judged(opened: bytes) -> Judged:
    """Of an opened completion."""
    return _read(_judged, opened, _NOT_JUDGED)


def begun(entry: Followed) -> Begun:
    """Takes no key."""
    return _read(_begun, _clear(entry), _NOT_BEGUN)


def ended(entry: Followed) -> Ended:
    """Takes no key."""
    return _read(_ended, _clear(entry), _NOT_ENDED)


def is_judged(entry: Followed) -> bool:
    """Whether a completion's sealed part has words that its readable part leaves out."""
    return b'"verdicts":[{' in _clear(entry)


def _clear(entry: Followed) -> bytes:
    try:
        return body.clear_of(entry.body)
    except BodyBroken:
        return b"{}"


def _read(decoder: msgspec.json.Decoder[T], content: bytes, otherwise: T) -> T:
    try:
        return decoder.decode(content)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return otherwise
