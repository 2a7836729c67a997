"""Recorded turns as plugins would have been shown them: as far as the journal has what they were given."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from compliance.journal import listing, reader
from compliance.journal.listing import Filters
from compliance.journal.reader import TurnRecord
from compliance.sealing.opening import Opener
from engine.types import ChatRequest, Message, Principal

MOST_BEFORE: Final = 20  # turns of a session that are read before one
KINDS: Final[dict[str, Any]] = {"key": "key", "member": "member", "visitor": "visitor"}
NAMED: Final = ("temperature", "max_tokens", "tools")  # of the parameters, those a request has by name


def principal_of(record: TurnRecord, tenant: str) -> Principal:
    """Who asked. Scopes and role are not recorded. `tenant` is the slug."""
    intent, completion = record.intent, record.completion
    kind = intent.subject.partition(":")[0]
    return Principal(
        tenant_id=intent.tenant_id,
        tenant=tenant,
        kind=KINDS.get(kind, "system"),
        subject=intent.subject,
        user=intent.user,
        key_id=intent.key_id,
        member_id=completion.member_id if completion is not None else None,
    )


def request_of(record: TurnRecord) -> ChatRequest:
    """Without its headers and metadata, which are not recorded as such."""
    intent = record.intent
    params = {name: value for name, value in intent.params.items() if name not in NAMED}
    return ChatRequest(
        messages=intent.messages,
        model=intent.model,
        temperature=intent.params.get("temperature"),
        max_tokens=intent.params.get("max_tokens"),
        tools=intent.params.get("tools"),
        params=params,
        stream=bool(intent.decision.get("features", {}).get("stream")),
        session_id=intent.session_id,
        remember=intent.session_id is not None,
        user_profile=intent.profile,
        echo=intent.echo,
        edge=intent.edge,
        request_id=intent.request_id,
    )


def history_of(record: TurnRecord, opener: Opener) -> list[Message]:
    """What was said before in its session: of its last 20 turns those that were completed, also if gone back on."""
    intent = record.intent
    if intent.session_id is None or not intent.parent:
        return []
    mine = Filters(user=intent.user, session_id=intent.session_id)
    before = listing.page(intent.tenant_id, mine, before=record.turn_id, limit=MOST_BEFORE)
    turns = listing.entries_by_turn(intent.tenant_id, [turn.turn_id for turn in reversed(before.turns)])
    said: list[Message] = []
    for turn_id, entries in turns.items():
        try:
            past = reader.record_of(turn_id, entries, opener)
        except msgspec.MsgspecError:
            continue
        if past.completion is None or past.completion.state != "completed" or past.intent.parent_turn:
            continue
        answers = [choice.message for choice in past.sent[:1]]
        said += [message for message in (*past.intent.messages, *answers) if not message.passing]
    return said


def has_no_plugins(record: TurnRecord) -> bool:
    """A turn on which no plugin runs: embeddings, and a round of another turn."""
    return record.intent.edge == "embeddings" or record.intent.parent_turn != ""
