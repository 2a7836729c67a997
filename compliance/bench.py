"""The test bench of word lists: what they would do with a text, and which entry does it."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from compliance.findings import Findings
from compliance.holdback import Channel
from compliance.words import Action, Scope, WordMatcher

LONGEST_TEXT: Final = 100_000
SHOWN: Final = 500  # places

Way = Literal["input", "output"]
Outcome = Literal["pass", "record", "mask", "block"]


class Place(msgspec.Struct, kw_only=True):
    """An entry found at `text[start:end]`, written there as `written`; `word` is the entry as the list has it."""

    start: int
    end: int
    written: str
    word: str
    list: str
    list_id: int
    scope: Scope
    version: int
    action: Action


class Tried(msgspec.Struct, kw_only=True):
    """What would become of a text in one direction. `text` is what the model (the client) gets of it; null: a question
    that is refused. `places` are the first 500."""

    direction: Way
    outcome: Outcome
    text: str | None
    places: list[Place]


def try_text(words: WordMatcher | None, text: str, direction: Way) -> Tried:
    """Blocking: a few milliseconds for the longest text there may be."""
    if words is None:
        return Tried(direction=direction, outcome="pass", text=text, places=[])
    findings = Findings(words, direction)
    shown: str | None = findings.whole(text)
    if findings.blocking:
        shown = Channel(words).push(text, over=True)[0] if direction == "output" else None
    actions = {verdict.action for verdict in findings.verdicts}
    outcome: Outcome = next((each for each in ("block", "mask", "record") if each in actions), "pass")
    return Tried(direction=direction, outcome=outcome, text=shown, places=explained(words, text))


def explained(words: WordMatcher, text: str) -> list[Place]:
    """Every hit, a place for each list its entry is in, in the order of the text."""
    return [
        Place(
            start=hit.start,
            end=hit.end,
            written=hit.found,
            word=hit.word,
            list=hit.rule.name,
            list_id=hit.rule.list_id,
            scope=hit.rule.scope,
            version=hit.rule.version,
            action=hit.rule.action,
        )
        for hit in words.explain(text)[:SHOWN]
    ]
