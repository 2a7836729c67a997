"""The page on replays names every field of a report and every reason to leave a turn out; its examples hold."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec

from access import schemas
from access.management.jobs import JobAnswer
from access.management.routes import ReplayBody
from access.replay_text import WHY
from routing.reports import Cost, Example, Flow, ModelTurns, Moved, Pace, Report, RuleTurns, Turns

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "replay.md").read_text(encoding="utf-8")


def test_it_names_every_field_and_every_reason():
    kinds = (Report, Turns, Moved, ModelTurns, Flow, Cost, Pace, RuleTurns, Example)
    fields = {field.encode_name for kind in kinds for field in msgspec.structs.fields(kind)}
    assert sorted(name for name in {*fields, *WHY} if f"`{name}`" not in PAGE) == []


def test_it_shows_a_body_that_is_taken_and_the_answer_that_comes():
    body = re.search(r"-d '(\{.*?\})'\n```", PAGE, re.DOTALL)
    assert body is not None
    assert len(schemas.fields(json.loads(body[1]), ReplayBody).rules) == 2
    shown = json.loads(PAGE.partition("```json\n")[2].partition("```")[0])
    assert list(shown) == [field.encode_name for field in msgspec.structs.fields(JobAnswer)]
