"""Routed turns in the journal, as the router records them, to be replayed."""

from __future__ import annotations

from typing import Any

from django.db import connections

from compliance.journal.records import COLUMNS, completion_row, intent_row
from engine.entries import Completion, Intent
from engine.turn import new_turn_id
from engine.types import Choice, Json, Message, Usage
from routing.models import ModelInstance

FEATURES: Json = {"stream": False, "has_tools": False, "has_images": False, "hour": 9, "prompt_tokens": 12, "user": "u"}


def turn(at: float, chosen: ModelInstance, *others: ModelInstance, tenant_id: int = 1, **fields: Any) -> list[tuple]:
    """The rows of a turn that `chosen` answered, from a pool with the others. `fields` are features, and `rules`."""
    rules = fields.pop("rules", [])
    candidates = [
        {"id": each.pk, "instance": each.name, "model": each.name, "weight": 1, "removed": None}
        for each in (chosen, *others)
    ]
    decision = {
        "model": chosen.name, "instance": chosen.name, "instance_id": chosen.pk, "rules": rules,
        "candidates": candidates, "features": {**FEATURES, **fields}, "runner_up": None,
    }  # fmt: skip
    turn_id = new_turn_id(at)
    intent = Intent(
        turn_id=turn_id, tenant_id=tenant_id, at=at, edge="rest", request_id="r", subject="key:1", user="key:1",
        model="auto", instance=chosen.name, decision=decision, rules=rules, messages=[Message("user", "Hello")],
    )  # fmt: skip
    completion = Completion(
        turn_id=turn_id, tenant_id=tenant_id, at=at + 1, state="completed", model=chosen.name, instance=chosen.name,
        choices=[Choice(Message("assistant", "Hi"), "stop")], usage=Usage(1000, 100), ttft=0.2, duration=1.0,
    )  # fmt: skip
    return [intent_row(intent, "w1"), completion_row(completion, "w1")]


def write(*turns: list[tuple]) -> list[str]:
    """Puts them into the journal the ORM reads; their ids."""
    places = ", ".join(["%s"] * len(COLUMNS))
    names = ", ".join(f'"{name}"' for name in COLUMNS)
    with connections["journal"].cursor() as cursor:
        rows = [row for each in turns for row in each]
        cursor.executemany(f"INSERT INTO compliance_auditentry ({names}) VALUES ({places})", rows)  # noqa: S608
    return [each[0][0] for each in turns]
