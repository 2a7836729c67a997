"""The attack on Django's pages: both consoles, by people of the other tenant, by members without a role, by nobody."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from django.conf import settings

from clawdbot_site.selftest.isolation.attack import leaked
from clawdbot_site.selftest.isolation.examples import DOORSTEPS, PLAIN, PUBLIC
from clawdbot_site.selftest.isolation.report import Finding, Kind
from clawdbot_site.selftest.isolation.surface import Door
from clawdbot_site.selftest.isolation.world import Answer, World, unlike

PLATFORM, CONSOLE = "/admin/", "/console/"
# No operators; the last ones have no area of the console at all.
UNFIT: Final = ("nobody", "strangers-owner", "owners-owner", "owners-member")
OTHERS: Final = ("nobody", "strangers-owner", "strangers-auditor", "owners-member")
QUERIES: Final = ("", "?q={mark}&tenant__id__exact={tenant}", "?tenant={tenant}&user=1&e=1", "?app_label=tenants"
                  "&model_name=apikey&field_name=tenant&term={mark}")  # fmt: skip
_TOKENS: Final = re.compile(r"[A-Za-z0-9]{64}|[0-9a-f]{32}|\d{2}:\d{2}(?::\d{2})?")


def attack(world: World, doors: list[Door], counted: Counter[str], quick: bool = False) -> Iterator[Finding]:
    """`quick`: fewer people ask, and nobody twice."""
    for door in doors:
        if door.path in DOORSTEPS or door.path.startswith(PUBLIC):
            continue
        if not door.path.startswith((PLATFORM, CONSOLE)):
            yield Finding(str(door), "anybody", "not covered", "it is neither a console's nor known to be public")
            continue
        lacking = sorted({name for name in door.params if _id(world, door, name) is None})
        if lacking:
            yield Finding(str(door), "anybody", "not covered", f"there is no id for {', '.join(lacking)}")
            continue
        if door.path.startswith(PLATFORM):
            yield from _platform(world, door, counted, UNFIT[::2] if quick else UNFIT)
        elif quick:
            yield from _console(world, door, counted, OTHERS[:2], QUERIES[:1])
        else:
            yield from _console(world, door, counted, OTHERS, QUERIES)


def _platform(world: World, door: Door, counted: Counter[str], people: Sequence[str]) -> Iterator[Finding]:
    """Nobody but an operator gets past the sign-in."""
    for who in people:
        counted["page"] += 1
        answer = _ask(world, door, who, known=True)
        away = answer.status in (302, 403) and not _is_inside(answer)
        if not away and answer.status not in (404, 405):
            yield _found(door, who, answer, "let in")
        if leaked(world, "stranger", answer.text):
            yield _found(door, who, answer, "shown")
        yield from _broken(door, who, answer)


def _console(
    world: World, door: Door, counted: Counter[str], people: Sequence[str], queries: Sequence[str]
) -> Iterator[Finding]:
    """People of another tenant find what they would find if the owner's rows were not there."""
    names = [name for name in door.params if name not in PLAIN]
    for who in people:
        for query in queries if door.method == "GET" and not names else queries[:1]:
            counted["page"] += 1
            answer = _ask(world, door, who, known=True, query=query)
            near = "neighbour" if who.startswith("owners") else "stranger"
            if leaked(world, near, answer.text):
                yield _found(door, who, answer, "shown")
            yield from _broken(door, who, answer)
            if who == "nobody" and answer.status not in (302, 401, 403, 404, 405):
                yield _found(door, who, answer, "let in")
        if names:
            counted["page"] += 1
            other = _ask(world, door, who, known=False)
            if _same(world, door, answer) != _same(world, door, other):
                yield _found(door, who, answer, "told apart", f"{answer.status} / {other.status}")


def _ask(world: World, door: Door, who: str, *, known: bool, query: str = "") -> Answer:
    path = door.path
    for name in door.params:
        value = _id(world, door, name) or ""
        path = path.replace(f"{{{name}}}", value if known or name in PLAIN else _other(value))
    query = query.replace("{mark}", "canary").replace("{tenant}", world.ids["tenant_id"])
    if door.method == "GET":
        return world.ask(f"page:{who}", "GET", path + query)
    # the double submit of a form that was opened
    token = "t" * 32
    cookie = "; ".join(
        filter(None, (world.headers[f"page:{who}"].get("Cookie"), f"{settings.CSRF_COOKIE_NAME}={token}"))
    )
    body = (
        f"csrfmiddlewaretoken={token}&post=yes&name=mine&action=delete_selected&_selected_action={world.ids['rule_id']}"
    )
    return world.ask(
        f"page:{who}", "POST", path, body, Cookie=cookie, Referer=f"http://127.0.0.1:{world.port}{path}",
        **{"Content-Type": "application/x-www-form-urlencoded"},
    )  # fmt: skip


def _id(world: World, door: Door, name: str) -> str | None:
    if name in PLAIN:
        return PLAIN[name]
    if name == "object_id" or (name == "id" and door.model):
        return world.furnished["rows"].get(door.model) or world.ids["tenant_id"] if door.model else world.ids["rule_id"]
    return world.ids.get(name)


def _other(value: str) -> str:
    return str(987_000_000 + int(value) % 1000) if value.isdigit() else unlike(value)


def _same(world: World, door: Door, answer: Answer) -> tuple[object, ...]:
    """Without what was asked for, which a page may repeat."""
    text, place = answer.text, answer.headers.get("location", "")
    for name in door.params:
        value = _id(world, door, name) or ""
        for each in (_other(value), value):
            text = re.sub(rf"\b{re.escape(each)}\b", "<id>", text)
            place = re.sub(rf"\b{re.escape(each)}\b", "<id>", place)
    return answer.status, _TOKENS.sub("#", text), place


def _is_inside(answer: Answer) -> bool:
    return answer.status == 302 and "login" not in answer.headers.get("location", "")  # noqa: PLR2004


def _broken(door: Door, who: str, answer: Answer) -> Iterator[Finding]:
    if answer.status >= 500 and answer.status != 503:  # noqa: PLR2004
        yield _found(door, who, answer, "failed")


def _found(door: Door, who: str, answer: Answer, kind: Kind, said: str = "") -> Finding:
    return Finding(str(door), who, kind, said or f"{answer.status} {answer.headers.get('location', '')}")
