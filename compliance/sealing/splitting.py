"""Which fields of an entry stay readable beside its sealed text: figures, and names of the configuration. What is not
named here is text, so a new field is sealed until somebody says otherwise."""

from __future__ import annotations

from operator import attrgetter
from typing import Any, Final

import msgspec

from compliance.journal.records import COMPLETION, INTENT, SESSION, Row
from compliance.sealing import body
from engine.entries import Completion, Intent, SessionEntry
from engine.types import Verdict

CLEAR: Final = frozenset(
    {
        "edge", "model", "instance", "rules", "state", "error", "attempts", "source", "retries", "usage", "ttft",
        "duration", "personal", "action", "parent", "member_id", "instance_id", "cost", "parent_turn", "rounds",
        "skipped",
    }
)  # fmt: skip
VERDICTS: Final = "verdicts"  # stand on both sides: without the word where everybody reads

_encode = msgspec.json.Encoder().encode


class Splitter:
    """Takes entries of one type apart into clear and text, each as JSON; absent defaults stay absent."""

    def __init__(self, kind: type[msgspec.Struct]) -> None:
        fields = sorted(msgspec.structs.fields(kind), key=lambda field: not field.required)
        clear = [field for field in fields if field.name in CLEAR or field.name == VERDICTS]
        text = [field for field in fields if field.name not in CLEAR]
        self._judged = any(field.name == VERDICTS for field in fields)
        self._clear, self._clear_of = _struct(f"Clear{kind.__name__}", clear)
        self._text, self._text_of = _struct(f"Text{kind.__name__}", text)

    def split(self, entry: Any) -> bytes:
        """An unsealed body. Raises one of `records.ENCODING_ERRORS`."""
        clear: Any = self._clear(*self._clear_of(entry))
        if self._judged and entry.verdicts:
            clear.verdicts = [_without_word(verdict) for verdict in entry.verdicts]
        return body.unsealed(_encode(clear), _encode(self._text(*self._text_of(entry))))


def _struct(name: str, fields: list[msgspec.structs.FieldInfo]) -> tuple[type[msgspec.Struct], attrgetter[Any]]:
    made = msgspec.defstruct(name, [_field(field) for field in fields], omit_defaults=True)
    return made, attrgetter(*(field.name for field in fields))


def _field(field: msgspec.structs.FieldInfo) -> Any:
    if field.required:
        return field.name, Any
    if field.default_factory is not msgspec.NODEFAULT:
        return field.name, Any, msgspec.field(default_factory=field.default_factory)
    return field.name, Any, field.default


def _without_word(verdict: Verdict) -> Verdict:
    return msgspec.structs.replace(verdict, word="")


_intents: Final = Splitter(Intent)
_completions: Final = Splitter(Completion)
_sessions: Final = Splitter(SessionEntry)


def intent_row(intent: Intent, worker: str) -> Row:
    """Still to be sealed, and the user still as they are called. Raises one of `records.ENCODING_ERRORS`."""
    return (
        intent.turn_id, INTENT, 0, intent.tenant_id, intent.at, worker, intent.session_id, intent.user, intent.key_id,
        intent.model, intent.instance, "", _intents.split(intent),
    )  # fmt: skip


def completion_row(completion: Completion, worker: str) -> Row:
    """Still to be sealed. Raises one of `records.ENCODING_ERRORS`."""
    return (
        completion.turn_id, COMPLETION, 0, completion.tenant_id, completion.at, worker, completion.session_id, "",
        completion.key_id, completion.model, completion.instance, completion.state, _completions.split(completion),
    )  # fmt: skip


def session_row(entry: SessionEntry, worker: str) -> Row:
    """`state` is what was done. Still to be sealed, and the user as they are called. Raises one of
    `records.ENCODING_ERRORS`."""
    return (
        entry.turn_id, SESSION, 0, entry.tenant_id, entry.at, worker, entry.session_id, entry.user, entry.key_id,
        "", "", entry.action, _sessions.split(entry),
    )  # fmt: skip
