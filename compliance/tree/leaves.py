"""The leaf of a stored entry, straight from the database: what folding and verifying spend their time on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import product
from typing import Any, Final

from compliance.tree.hashing import LEAF_HEAD, NO_KEY, NO_SESSION

# The columns an entry is read with; texts come as bytearrays (bytes from a server), `body` as bytes.
READ: Final = (
    "id", "turn_id", "kind", "number", "tenant_id", "at", "worker", "session_id", "user", "key_id", "model", "instance",
    "state", "body",
)  # fmt: skip
Columns = tuple[Any, ...]

# SQLite stores any type in any column, so the types are part of what is checked.
_SHAPES: Final = frozenset(
    (int, text, text, int, int, float, text, session, text, key, text, text, text, bytes)
    for text in (bytearray, bytes)
    for session, key in product((type(None), text), (type(None), int))
)


def leaves(rows: Iterable[Columns]) -> Iterator[tuple[int, int, float, bytes]]:
    """(id, tenant, time, leaf) of every row. A row of other types than an entry's has a leaf that is never the same."""
    pack, join = LEAF_HEAD.pack, b"".join
    one: Columns = ()
    other: Columns = ()  # the shapes seen last: an intent has a key, its end has none
    for row in rows:
        shape = tuple(map(type, row))
        if shape != one and shape != other:  # noqa: PLR1714  # faster than a search
            if shape not in _SHAPES:
                yield _number(row[0]), _number(row[4]), 0.0, os.urandom(32)
                continue
            one, other = shape, one
        number, turn, kind, part, tenant, at, worker, session, user, key, model, instance, state, body = row
        flags = 0
        if session is None:
            session, flags = b"", NO_SESSION  # noqa: PLW2901  # a copy of the row would cost time
        if key is None:
            key, flags = 0, flags | NO_KEY  # noqa: PLW2901
        head = pack(
            part, tenant, at, key, flags,
            len(turn), len(kind), len(worker), len(session), len(user), len(model), len(instance), len(state),
        )  # fmt: skip
        leaf = sha256(join((b"\x00", head, turn, kind, worker, session, user, model, instance, state, body))).digest()
        yield number, tenant, at, leaf


def is_entry(row: Columns) -> bool:
    """Whether the row has the types of an entry."""
    return tuple(map(type, row)) in _SHAPES


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
