"""Records every change of configuration: who, what, before and after. `compliance.journal.moving` journals it."""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import time
from collections.abc import Iterable
from datetime import date
from typing import Any, Final

import msgspec
from django.db import models

from compliance.models.changes import ChangeRecord
from engine.entries import Change, SessionAction, SessionEntry
from engine.types import Json
from tenants import actors
from tenants.models import Tenant
from tenants.signals import config_changed

LONGEST: Final = 2_000  # characters of a value; of longer ones the beginning is kept, and what tells them apart
DEEPEST: Final = 12
PLATFORM: Final = 0
CREATED: Final = "created"
CHANGED: Final = "changed"
DELETED: Final = "deleted"

_counted = itertools.count()
_encode = msgspec.json.Encoder().encode


def connect() -> None:
    config_changed.connect(_on_change, dispatch_uid="compliance.changes")


def record(
    *,
    action: str,
    model: str,
    row: str = "",
    label: str = "",
    tenant_id: int = PLATFORM,
    before: Json | None = None,
    after: Json | None = None,
    actor: actors.Actor | None = None,
) -> None:
    """Blocking; in the transaction that is open. `model` is `app.model`, `row` its primary key, `label` how people call
    it. Without an `actor` it is who acts now."""
    who, now = actor or actors.current(), time.time()
    change = Change(
        turn_id=_new_id(now),
        tenant_id=tenant_id,
        at=now,
        actor=_plain_text(who.name),
        actor_label=_plain_text(who.label),
        request_id=_plain_text(who.request_id),
        action=action,
        model=model,
        row=_plain_text(row),
        label=_plain_text(label),
        before=_plain(before or {}),
        after=_plain(after or {}),
    )
    ChangeRecord(id=change.turn_id, tenant_id=tenant_id, body=_encode(change)).save()


def record_session(
    *, action: SessionAction, tenant_id: int, session_id: str, user: str, parent: int, key_id: int | None = None
) -> None:
    """The same for what no worker does to a session: the sequencer brings it into the journal as a `SessionEntry`.
    Until then, seconds, the user stands in the record in the clear."""
    who, now = actors.current(), time.time()
    entry = SessionEntry(
        turn_id=_new_id(now),
        tenant_id=tenant_id,
        at=now,
        session_id=session_id,
        action=action,
        parent=parent,
        subject=_plain_text(who.name),
        user=user,
        key_id=key_id,
    )
    ChangeRecord(id=entry.turn_id, tenant_id=tenant_id, body=_encode(entry)).save()


def _new_id(now: float) -> str:
    """Like a turn's (`engine.turn.new_turn_id`), but what this process changes within a millisecond stays in order."""
    return f"{int(now * 1000):012x}{next(_counted) & 0xFFFFFF:06x}{os.urandom(7).hex()}"


def _on_change(
    sender: type[models.Model], instance: models.Model, before: Json | None, after: Json | None, **_: object
) -> None:
    action = CREATED if before is None else DELETED if after is None else CHANGED
    if before is not None and after is not None:
        names = [name for name in after if before.get(name) != after[name]]
        if not names:
            return
        before, after = _only(before, names), _only(after, names)
    else:
        before, after = _set(before), _set(after)
    record(
        action=action,
        model=sender._meta.label_lower,
        row=str(instance.pk),
        label=getattr(instance, "recorded_as", None) or str(instance),
        tenant_id=_owner(instance),
        before=before,
        after=after,
    )


def _only(values: Json, names: Iterable[str]) -> Json:
    return {name: values.get(name) for name in names}


def _set(values: Json | None) -> Json | None:
    """Without what has no value."""
    return values and {name: value for name, value in values.items() if value not in (None, "", [], {})}


def _owner(instance: models.Model) -> int:
    if isinstance(instance, Tenant):
        return int(instance.pk)
    return getattr(instance, "tenant_id", None) or PLATFORM


def _plain(value: Any, depth: int = 0) -> Any:
    """As the journal can store it: JSON of moderate size without lone surrogates."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict | list | tuple) and depth < DEEPEST:
        if isinstance(value, dict):
            return {_plain_text(str(key)): _plain(each, depth + 1) for key, each in value.items()}
        return [_plain(each, depth + 1) for each in value]
    return _plain_text(str(value))


def _plain_text(text: str) -> str:
    text = text.encode("utf-8", "replace").decode()
    if len(text) <= LONGEST:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{text[:LONGEST]}… ({len(text)} characters, SHA-256 {digest})"
