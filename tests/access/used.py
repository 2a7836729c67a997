"""Usage for the journal the ORM reads: completions counted as its writers count them."""

from __future__ import annotations

from typing import Any

import psycopg
from django.db import connections

from compliance.journal.records import completion_row
from compliance.usage.storing import count_in_file, count_on_server, prepare_file
from engine.entries import Completion
from engine.turn import new_turn_id
from engine.types import Usage

AT = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC, in hour 472222


def turn(tenant_id: int = 1, *, at: float = AT, state: str = "completed", **fields: Any) -> tuple:
    """The row of a turn's end; of 100 prompt tokens, 10 of an answer, and a cost of 250, unless `fields` say more."""
    given = {
        "model": "gpt", "instance": "gpt", "instance_id": 0, "edge": "rest", "cost": 250, "usage": Usage(100, 10),
        "duration": 1.0, "ttft": 0.1,
    }  # fmt: skip
    ended = Completion(turn_id=new_turn_id(at), tenant_id=tenant_id, at=at, state=state, **{**given, **fields})
    return completion_row(ended, "w1")


def use(*turns: tuple) -> None:
    connection = connections["journal"]
    connection.ensure_connection()
    raw = connection.connection
    if isinstance(raw, psycopg.Connection):
        with raw.cursor() as cursor:
            count_on_server(cursor, turns, 1)
    else:
        prepare_file(raw)
        count_in_file(raw, turns)
