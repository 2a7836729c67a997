"""Grants idempotency keys, in the transaction of the intents that come with them: a key has one holder.

On PostgreSQL the unique digest decides. On SQLite every worker writes a file of its own, so one lock stands before all
of them: who has it looks into the others' files, then writes its own, and nobody's claim falls in between."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

from compliance.journal import slots
from compliance.journal.records import ClaimRow
from engine.errors import AuditUnavailable, EngineError, IdempotencyRunning

# Turns whose claims were not granted, and what they are to be told.
Denials = dict[str, type[EngineError]]

PATIENCE: Final = 0.5  # seconds a batch waits for the lock; without it no claim is granted

_TABLE: Final = "compliance_idempotency"
_THERE: Final = f"SELECT 1 FROM sqlite_master WHERE name = '{_TABLE}'"  # noqa: S608  # our own name
_HELD: Final = f"SELECT digest, turn_id, number FROM {_TABLE} WHERE digest IN "  # noqa: S608
_GRANT: Final = f"INSERT OR REPLACE INTO {_TABLE} (digest, tenant_id, fingerprint, turn_id, number, at) VALUES "  # noqa: S608
_GRANT_ON_SERVER: Final = f"""
    INSERT INTO {_TABLE} AS held (digest, tenant_id, fingerprint, turn_id, number, at) VALUES (%s, %s, %s, %s, 1, %s)
    ON CONFLICT (digest) DO UPDATE SET fingerprint = %s, turn_id = %s, at = %s, number = held.number + 1
    WHERE held.turn_id IN (%s, %s)"""  # noqa: S608


class Held(NamedTuple):
    """`number` counts the holders of a key: the highest, in whatever file, has it."""

    turn_id: str
    number: int


def nothing(claims: Iterable[ClaimRow]) -> Denials:
    """Nobody can say now who holds these keys."""
    return {claim.turn_id: AuditUnavailable for claim in claims}


def grant_on_server(cursor: Any, claims: Sequence[ClaimRow]) -> Denials:
    """On PostgreSQL, in an open transaction. In the order of the keys, so that two batches never wait for each other.
    What the role may read are three columns, so nothing is taken from `excluded`. Raises psycopg.Error."""
    denied: Denials = {}
    for claim in sorted(claims, key=lambda each: each.digest):
        turn_id, tenant_id, digest, asked, after, at = claim
        cursor.execute(_GRANT_ON_SERVER, (digest, tenant_id, asked, turn_id, at, asked, turn_id, at, turn_id, after))
        if not cursor.rowcount:
            denied[turn_id] = IdempotencyRunning
    return denied


class Turnstile:
    """The lock before all files of a journal. It is the kernel's, which gives it back when its process dies."""

    def __init__(self, first: Path) -> None:
        self._path = first.with_name(f"{first.stem}-claims.lock")

    @contextlib.contextmanager
    def passed(self, patience: float = PATIENCE) -> Iterator[bool]:
        """False: it is not to be had in time."""
        try:
            lock = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            yield False
            return
        try:
            yield _locked(lock, time.monotonic() + patience)
        finally:
            os.close(lock)


def _locked(lock: int, until: float) -> bool:
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > until:
                return False
            time.sleep(0.001)
        else:
            return True


def held_elsewhere(first: Path, but: int, claims: Sequence[ClaimRow]) -> dict[str, Held]:
    """Who holds the keys by the files of the others. Raises sqlite3.Error."""
    found: dict[str, Held] = {}
    for number in slots.existing(first):
        if number == but:
            continue
        uri = f"{slots.slot_path(first, number).absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=PATIENCE)) as database:
            if database.execute(_THERE).fetchone():
                _note(found, database, claims)
    return found


def grant_in_file(database: sqlite3.Connection, claims: Sequence[ClaimRow], elsewhere: dict[str, Held]) -> Denials:
    """On SQLite, in an open transaction and behind the turnstile. Raises sqlite3.Error."""
    denied: Denials = {}
    held = dict(elsewhere)
    _note(held, database, claims)
    for claim in claims:
        holder = held.get(claim.digest)
        if holder is not None and holder.turn_id not in (claim.turn_id, claim.after):
            denied[claim.turn_id] = IdempotencyRunning
            continue
        number = holder.number + 1 if holder is not None else 1
        row = (claim.digest, claim.tenant_id, claim.fingerprint, claim.turn_id, number, claim.at)
        database.execute(f"{_GRANT} (?, ?, ?, ?, ?, ?)", row)
        held[claim.digest] = Held(claim.turn_id, number)
    return denied


def _note(found: dict[str, Held], database: sqlite3.Connection, claims: Sequence[ClaimRow]) -> None:
    digests = [claim.digest for claim in claims]
    rows = database.execute(f"{_HELD} ({', '.join('?' * len(digests))})", digests)
    for digest, turn_id, number in rows:
        if digest not in found or found[digest].number < number:
            found[digest] = Held(turn_id, number)
