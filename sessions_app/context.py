"""How much of a conversation goes to a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from engine import estimating
from engine.errors import ContextTooLong
from engine.types import Json, Message
from sessions_app.records import SYSTEM_ROLES, encode, split_system

PROFILE_LIMIT: Final = 1000  # characters of the profile's line
ANSWER_SHARE: Final = 4  # history leaves a quarter of the window to the answer,
ANSWER_ROOM: Final = 1024  # but no more tokens than this


def window(
    history: Sequence[Message], messages: Sequence[Message], profile: Json, context_window: int | None
) -> list[Message]:
    """System prompt, profile, as many of the newest turns of `history` as there is room for, then all of `messages`.

    A leading system message in `messages` stands in for the one in `history`. Whole turns are dropped, the oldest
    first; the answers of tools stay with the call they answer. `context_window` is in tokens, None: no bound. Raises
    ContextTooLong if the system prompt and the newest turn alone are larger."""
    system, turns, newest, asked = _parts(history, messages, profile)
    if context_window is None:
        return [*system, *(message for turn in turns for message in turn), *newest, *asked]
    fixed = _tokens(system, newest, asked)
    if fixed > context_window:
        raise ContextTooLong
    room = context_window - min(ANSWER_ROOM, context_window // ANSWER_SHARE) - fixed
    first = len(turns)
    while first > 0 and (size := estimating.messages_tokens(turns[first - 1])) <= room:
        room -= size
        first -= 1
    kept = [message for turn in turns[first:] for message in turn]
    return [*system, *kept, *newest, *asked]


def fixed_tokens(history: Sequence[Message], messages: Sequence[Message], profile: Json) -> int:
    """What `window` cannot trim: no smaller window has room for the turn."""
    system, _, newest, asked = _parts(history, messages, profile)
    return _tokens(system, newest, asked)


def _parts(
    history: Sequence[Message], messages: Sequence[Message], profile: Json
) -> tuple[list[Message], list[list[Message]], list[Message], list[Message]]:
    """The system prompt, the turns that may go, the one whose tools are being answered, and what is asked now."""
    old_system, said = split_system(history)
    new_system, asked = split_system(messages)
    turns = turns_of(said)
    newest = turns.pop() if turns and asked and asked[0].role == "tool" else []
    return with_profile(new_system or old_system, profile), turns, newest, asked


def _tokens(*parts: list[Message]) -> int:
    return sum(estimating.messages_tokens(part) for part in parts)


def turns_of(messages: Sequence[Message]) -> list[list[Message]]:
    """Splits a conversation where somebody begins to ask: all that answers, tools too, belongs to the question."""
    turns: list[list[Message]] = []
    asking = False
    for message in messages:
        asks = message.role == "user" or message.role in SYSTEM_ROLES
        if not turns or (asks and not asking):
            turns.append([])
        turns[-1].append(message)
        asking = asks
    return turns


def with_profile(system: list[Message], profile: Json) -> list[Message]:
    """The profile as one line of the system prompt: many models take no second system message."""
    if not profile:
        return system
    line = f"User profile: {_short(profile)}"
    if not system:
        return [Message("system", line)]
    *before, last = system
    content = last.content
    if isinstance(content, list):
        return [*before, msgspec.structs.replace(last, content=[*content, {"type": "text", "text": line}])]
    return [*before, msgspec.structs.replace(last, content=f"{content}\n\n{line}" if content else line)]


def _short(profile: Json) -> str:
    """As JSON, with the entries from the first on that fit."""
    kept: Json = {}
    for key, value in profile.items():
        if len(encode({**kept, key: value}).decode()) > PROFILE_LIMIT:
            break
        kept[key] = value
    return encode(kept).decode()
