"""The attack over HTTP, on the API: each route with ids of the owner's, then with ids that nobody has; both must be
answered alike. In the end the owner opens every door, so that it is known to have been one."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from clawdbot_site.selftest.isolation.examples import BODIES, CONTROLS, OPERATORS, PLAIN, QUERIES, RENAMED, SHARED
from clawdbot_site.selftest.isolation.furnishing import MARK, SECRET
from clawdbot_site.selftest.isolation.report import Finding, Kind
from clawdbot_site.selftest.isolation.surface import Door
from clawdbot_site.selftest.isolation.world import NEAR, STRANGERS, WITHOUT, Answer, World

UNAUTHORISED, FORBIDDEN, BROKEN, MISTAKEN = 401, 403, 500, 400
_OWN: Final = frozenset({"date", "x-request-id", "content-length", "set-cookie", "etag", "expires", "last-modified"})
_NUMBERS: Final = re.compile(r"[0-9a-f]{32}|\d{10}\.\d+")
_NAMES: Final = re.compile(r"\{(?:number:)?(\w+)\}")


class Call:
    """One way to ask at a door."""

    def __init__(self, door: Door, query: str, body: Any) -> None:
        self.door, self.query, self.body = door, query, body
        self.path = door.path.replace(*RENAMED.get(str(door), ("", "")))

    @property
    def names(self) -> set[str]:
        """Of the ids in it."""
        text = f"{self.path} {self.query} {json.dumps(self.body)}"
        return set(_NAMES.findall(text)) - set(PLAIN)

    def ask(self, world: World, who: str, ids: dict[str, str]) -> Answer:
        path = world.filled(self.path, ids) + (f"?{world.filled(self.query, ids)}" if self.query else "")
        body = self.body
        if isinstance(body, dict | list):
            body = json.loads(world.filled(json.dumps(body), ids))
        return world.ask(who, self.door.method, path, body)


def calls(door: Door) -> Iterator[Call]:
    bodies = BODIES.get(str(door), [None])
    for query in QUERIES.get(str(door), [""]):
        for body in bodies:
            yield Call(door, query, body)


def attack(world: World, doors: list[Door], counted: Counter[str]) -> Iterator[Finding]:
    for door in doors:
        unknown = sorted(set(door.params) - set(world.ids))
        if unknown:
            yield Finding(str(door), "anybody", "not covered", f"there is no id for {', '.join(unknown)}")
            continue
        for call in calls(door):
            for who in STRANGERS:
                yield from _judged(world, call, who, counted)


def _judged(world: World, call: Call, who: str, counted: Counter[str]) -> Iterator[Finding]:
    door = call.door
    counted["http"] += 1
    answer = call.ask(world, who, world.ids)

    def found(kind: Kind, said: str = "") -> Finding:
        return Finding(str(door), who, kind, said or f"{answer.status} {answer.text[:120]}")

    if answer.status >= BROKEN and answer.status != 503:  # noqa: PLR2004
        yield found("failed")
    if leaked(world, who, answer.text, call.names):
        yield found("shown")
    if who in WITHOUT and not door.open:
        if answer.status != UNAUTHORISED or not answer.headers.get("www-authenticate", "").startswith("Bearer"):
            yield found("let in")
        return
    if not call.names or (who in NEAR and call.names <= SHARED):
        return
    if door.params and answer.status < MISTAKEN and not (set(door.params) <= set(PLAIN)):
        other = call.ask(world, who, world.unknown)
        if other.status != answer.status or door.method == "GET":
            yield found("let in")
        return  # DELETE of what is not there may be as good as done; whether it was is looked at in the end
    other = call.ask(world, who, world.unknown)
    counted["http"] += 1
    if same(world, answer) != same(world, other):
        yield found("told apart", f"{answer.status} {answer.text[:90]} / {other.status} {other.text[:90]}")


def leaked(world: World, who: str, text: str, given: set[str] = frozenset()) -> bool:  # type: ignore[assignment]
    """Whether a text has what is the owner's, beyond the ids that were given."""
    lowered = text.lower()
    for name in given:
        lowered = lowered.replace(world.ids[name].lower(), "")
    if SECRET in lowered:
        return True
    if who not in NEAR and MARK in lowered:
        return True
    hidden = {name: value for name, value in world.ids.items() if len(value) >= 24}  # noqa: PLR2004
    return any(value in lowered for name, value in hidden.items() if name not in given)


def same(world: World, answer: Answer) -> tuple[object, ...]:
    """What of an answer may not depend on whether there is such an id."""
    text = answer.text
    for ids in (world.ids, world.unknown):
        for name, value in ids.items():
            if name not in PLAIN and len(value) > 3:  # noqa: PLR2004
                text = text.replace(value, f"<{name}>")
    headers = {name: value for name, value in answer.headers.items() if name not in _OWN and "ratelimit" not in name}
    return answer.status, _NUMBERS.sub("#", text), tuple(sorted(headers))


def control(world: World, doors: list[Door]) -> Iterator[Finding]:
    """The owner's turn, or an operator's, last: what deletes comes after the rest, the innermost first."""
    order = {"GET": 0, "POST": 1, "PATCH": 2, "PUT": 3, "DELETE": 4}
    for door in sorted(doors, key=lambda each: (order.get(each.method, 1), -each.path.count("/"))):
        if set(door.params) - set(world.ids):
            continue
        for call in calls(door):
            answer = call.ask(world, "operator" if door.path.startswith(OPERATORS) else "alice", world.ids)
            fine = answer.status < 300 or answer.status in CONTROLS.get(str(door), frozenset())  # noqa: PLR2004
            if answer.status == 429 and door.method == "POST":  # noqa: PLR2004  # one job at a time
                fine = True
            if not fine:
                yield Finding(str(door), "its owner", "not covered", f"{answer.status} {answer.text[:160]}")
