"""The events of a turn as they are kept and sent: each encoded once, as one server-sent event (WHATWG HTML, 9.2).

An event's id is `generation.sequence`: the turn's id and a count from 0. JSON has no line breaks, so an event ends at
the first empty line."""

from __future__ import annotations

import re
from typing import Final

import orjson

from access import errors, events
from compliance.journal.reader import TurnRecord
from engine import cuts
from engine.entries import Completion
from engine.errors import AuditUnavailable, EngineError, InvalidRequest, TurnAborted, TurnCancelled
from engine.folding import as_delta
from engine.types import Done, Start

END: Final = 999_999_999  # the sequence of the last event where nobody knows how many there were before
TURN_ID: Final = re.compile(r"[0-9a-f]{32}\Z")
_POSITION: Final = re.compile(r"([0-9a-f]{32})\.([0-9]{1,9})\Z")


def frame(turn_id: bytes, sequence: int, name: bytes, data: bytes) -> bytes:
    return b"id: %b.%d\nevent: %b\ndata: %b\n\n" % (turn_id, sequence, name, data)


def split(kept: bytes) -> list[bytes]:
    """Frames that lie one behind the other."""
    return [each + b"\n\n" for each in kept.split(b"\n\n")[:-1]]


def is_last(one: bytes) -> bool:
    """Whether no frame can follow."""
    return one.split(b"\n", 2)[1] in (b"event: done", b"event: error")


def as_socket(one: bytes, whose: bytes) -> str:
    """The same event for a WebSocket; `whose` are its first members, as `"ref":1,`."""
    number, name, data, _ = one.split(b"\n", 3)
    body = data[6:]
    rest = b"," + body[1:] if body != b"{}" else b"}"
    return (b'{"type":"%b",%b"event_id":"%b"%b' % (name[7:], whose, number[4:], rest)).decode()


def position(turn_id: str, last_event_id: str | None) -> int:
    """The sequence of the first event that is missing. Raises InvalidRequest: it is no id of this turn's events."""
    if not last_event_id:
        return 0
    found = _POSITION.match(last_event_id)
    if found is None or found[1] != turn_id:
        raise InvalidRequest("Last-Event-ID is not the id of an event of this turn.", param="last_event_id")
    return int(found[2]) + 1


# From the journal -------------------------------------------------------------------------------------------------


def recorded(record: TurnRecord, first: int, language: str) -> list[bytes]:
    """The frames from `first` on of a turn that is over, as they were sent. Where it is not known how its answer was
    cut, they are `start`, a `delta` a choice and the end, which has the id `END`; to a reader who had some, the end
    alone. What an error said beyond its code is not on record."""
    completion = record.completion
    assert completion is not None
    name = record.turn_id.encode("ascii")
    start = Start(record.turn_id, completion.session_id, completion.model, completion.source)
    try:
        deltas, known = cuts.pieces(completion.cuts, record.sent), completion.state != "aborted"
    except ValueError:
        deltas, known = [as_delta(each) for each in record.sent], False
    said = [(b"start", orjson.dumps(events.start(start)))]
    said += [(b"delta", orjson.dumps(events.delta(each))) for each in deltas]
    found = [frame(name, sequence, kind, data) for sequence, (kind, data) in enumerate(said)]
    end = frame(name, len(found) if known else END, *_end(record, completion, language))
    if known:
        return [*found, end][first:]
    return [*([] if first else found), end] if first <= END else []


def _end(record: TurnRecord, completion: Completion, language: str) -> tuple[bytes, bytes]:
    if completion.state == "completed":
        rules = record.decision.get("rules", record.intent.rules)
        done = Done(
            id=record.turn_id,
            session_id=completion.session_id,
            model=completion.model,
            choices=completion.choices,
            usage=completion.usage + completion.rounds,
            route={"instance": completion.instance, "rules": rules, "decision": record.turn_id},
            created=0,
            metadata=completion.plugins,
        )
        return b"done", orjson.dumps(events.done(done, completion.source))
    error = _ERRORS.get(_CODES.get(completion.state, completion.error), EngineError)()
    if completion.error not in UNNAMED:
        error.turn_id = record.turn_id
    return b"error", orjson.dumps(errors.event(error, record.intent.request_id, language))


def _kinds(kind: type[EngineError]) -> list[type[EngineError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in _kinds(child))]


UNNAMED: Final = frozenset({EngineError.code, AuditUnavailable.code})  # errors that do not name their turn
_ERRORS: Final = {kind.code: kind for kind in _kinds(EngineError)}
_CODES: Final = {"aborted": TurnAborted.code, "cancelled": TurnCancelled.code}  # of states whose error has no code
