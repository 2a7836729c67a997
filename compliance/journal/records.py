"""What the journal writes: engine entries as rows of `compliance_auditentry`."""

from __future__ import annotations

import os
import time
from typing import Final, NamedTuple

import msgspec

from engine.entries import Change, Completion, Intent, Partial

COLUMNS: Final = (
    "turn_id", "kind", "number", "tenant_id", "at", "worker", "session_id", "user", "key_id", "model", "instance",
    "state", "body",
)  # fmt: skip

# The columns in the order of COLUMNS.
Row = tuple[str, str, int, int, float, str, str | None, str, int | None, str, str, str, bytes]

# A data key that rows of the same batch are sealed with: id, tenant, subject, the wrapped key, Unix seconds, the
# columns in the order of KEY_COLUMNS.
KEY_COLUMNS: Final = ("id", "tenant_id", "subject", "wrapped", "created_at")
KeyRow = tuple[str, int, str, bytes, float]


class ClaimRow(NamedTuple):
    """An idempotency key that a turn claims with its intent. `after` is who gives it up, empty: nobody need."""

    turn_id: str
    tenant_id: int
    digest: str
    fingerprint: str
    after: str
    at: float


PROBE_SIZE: Final = 64 << 10
INTENT: Final = "intent"
COMPLETION: Final = "completion"
PARTIAL: Final = "partial"
CHANGE: Final = "change"
SESSION: Final = "session"

# What a record can do to its own encoding: lone surrogates, numbers beyond 64 bits, foreign types, too deep nesting.
ENCODING_ERRORS: Final = (ValueError, TypeError, OverflowError, RecursionError)

_LENGTHS: Final = {
    "turn_id": 64, "kind": 16, "worker": 64, "session_id": 200, "user": 300, "model": 200, "instance": 200, "state": 16,
}  # fmt: skip
_NUMBERS: Final = {
    "number": range(1 << 31),
    "tenant_id": range(-(1 << 63), 1 << 63),
    "key_id": range(-(1 << 63), 1 << 63),
}
_encode = msgspec.json.Encoder().encode


def intent_row(intent: Intent, worker: str) -> Row:
    """Raises one of ENCODING_ERRORS."""
    return (
        intent.turn_id, INTENT, 0, intent.tenant_id, intent.at, worker, intent.session_id, intent.user, intent.key_id,
        intent.model, intent.instance, "", _encode(intent),
    )  # fmt: skip


def completion_row(completion: Completion, worker: str) -> Row:
    """Raises one of ENCODING_ERRORS."""
    return (
        completion.turn_id, COMPLETION, 0, completion.tenant_id, completion.at, worker, completion.session_id, "",
        completion.key_id, completion.model, completion.instance, completion.state, _encode(completion),
    )  # fmt: skip


def change_row(change: Change, worker: str) -> Row:
    """`model`, `instance` and `state` are what was changed, its key and how. Raises one of ENCODING_ERRORS."""
    return (
        change.turn_id, CHANGE, 0, change.tenant_id, change.at, worker, None, "", None, change.model[:200],
        change.row[:200], change.action, _encode(change),
    )  # fmt: skip


def partial_row(partial: Partial, worker: str) -> Row:
    """Raises one of ENCODING_ERRORS."""
    return (
        partial.turn_id, PARTIAL, partial.number, partial.tenant_id, partial.at, worker, partial.session_id, "", None,
        "", "", "", _encode(partial),
    )  # fmt: skip


def probe_row(worker: str) -> Row:
    """An entry to try with, never to keep: large enough to need room, with an id of its own."""
    turn_id = f"{int(time.time() * 1000):012x}{os.urandom(10).hex()}"
    return (turn_id, INTENT, 0, 0, time.time(), worker, None, "", None, "", "", "", os.urandom(PROBE_SIZE))


# Of its intent: turn_id, tenant_id, session_id, model, instance, key_id.
OpenTurn = tuple[str, int, str | None, str, str, int | None]


def aborted_row(turn: OpenTurn, worker: str) -> Row:
    """Ends a turn that its worker left open when it died; `worker` is who ends it."""
    turn_id, tenant_id, session_id, model, instance, key_id = turn
    return completion_row(
        Completion(
            turn_id=turn_id,
            tenant_id=tenant_id,
            at=time.time(),
            state="aborted",
            error="worker_lost",
            session_id=session_id,
            model=model,
            instance=instance,
            key_id=key_id,
        ),
        worker,
    )


def unrecordable(turn_id: str, tenant_id: int, at: float, worker: str) -> Row:
    """Ends a turn whose own completion cannot be stored, so that its intent does not stay open."""
    return completion_row(
        Completion(turn_id=turn_id, tenant_id=tenant_id, at=at, state="failed", error="unrecordable"), worker
    )


def check(row: Row) -> None:
    """Raises ValueError or TypeError for what no database would take: before it is kept where nobody can refuse it."""
    for name, value in zip(COLUMNS, row, strict=True):
        if value is None and name in ("session_id", "key_id"):
            continue
        if name in _NUMBERS:
            if type(value) is not int or value not in _NUMBERS[name]:
                raise ValueError(f"{name}: {value!r}")
        elif name in _LENGTHS:
            if not isinstance(value, str) or len(value) > _LENGTHS[name] or "\0" in value:
                raise ValueError(f"{name}: {value!r}")
            value.encode()
    int(row[0][:12], 16)
    float(row[4])
