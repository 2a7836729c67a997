"""The playground asks through the engine as the person who signed in; one who leaves stops their turns."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from django.http import StreamingHttpResponse
from django.test import RequestFactory

from access.console.bridge import SCOPE_KEY, EngineBridge, LiveParts
from access.console.tenant import playground
from access.console.tenant.place import Place
from engine.errors import UpstreamError
from engine.snapshots import Cell
from routing.table import RoutingTable
from tests.access.parts import build
from tests.cast import ACME, ALICE
from tests.conformance.edges import within
from tests.engine.parts import ScriptedModel

HI = [{"role": "user", "content": "hi"}]


def place(role: str = "owner", **more: Any) -> Place:
    tenant, member = SimpleNamespace(pk=ACME.id, slug=ACME.slug), SimpleNamespace(pk=ALICE.id)
    return Place(tenant, role, member=member, **more)  # type: ignore[arg-type]


def site_of(*pieces: object) -> Any:
    return build(ScriptedModel(pieces))


def asked(site: Any, body: Any, method: str = "POST") -> Any:
    made = getattr(RequestFactory(), method.lower())
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = (
        made("/console/playground/turn/", text, content_type="application/json") if method == "POST" else made("/")
    )
    parts = site.parts
    live = LiveParts(None, parts.generations, None, parts.router, parts.read_turn)
    routes = Cell(RoutingTable())
    request.scope = {SCOPE_KEY: EngineBridge(parts.engine, asyncio.get_running_loop(), routes, None, live=live)}
    request.request_id = "r1"
    return request


async def events(answer: StreamingHttpResponse) -> list[tuple[str, Any]]:
    whole = b"".join([part async for part in answer])
    found = []
    for block in whole.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines())
        if "event" in lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


async def test_it_streams_the_answer_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    site = site_of("Hel", "lo")
    body = {"messages": HI, "model": "auto", "temperature": 0.5, "session_id": "never", "user": "somebody else"}
    answer = await playground.turn(None, asked(site, body), place())
    assert answer.status_code == 200 and answer["Content-Type"].startswith("text/event-stream")
    told = await events(answer)
    assert [name for name, _ in told] == ["start", "delta", "delta", "done", "why"]
    assert told[3][1]["message"]["content"] == "Hello"
    assert told[0][1]["session_id"] is None
    why = told[4][1]
    assert ["Tokens in and out", "3 + 5"] in why["figures"]
    [intent] = site.behind.journal.intents
    assert (intent.subject, intent.user, intent.edge) == ("member:1", "1", "console")
    assert site.behind.journal.states == ["completed"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"[]", None),
        (b"\xff", None),
        ({"messages": []}, "messages"),
        ({"messages": HI, "temperature": "hot"}, "temperature"),
        ({"messages": HI, "max_tokens": 0}, "max_tokens"),
        ({"messages": [{"role": "nobody", "content": "x"}]}, "messages[0].role"),
    ],
)
async def test_it_says_what_is_wrong(body: Any, param: str | None) -> None:
    answer = await playground.turn(None, asked(site_of("x"), body), place())
    assert answer.status_code == 400
    error = json.loads(answer.content)["error"]
    assert error["code"] == "invalid_request" and (param is None or param.split("[")[0] in error.get("param", ""))


async def test_who_may_only_look_asks_nobody() -> None:
    visit = SimpleNamespace(pk=7, may_change=False, operator_id=9)
    looking = Place(place().tenant, "admin", visit=visit)  # type: ignore[arg-type]
    assert (await playground.turn(None, asked(site_of("x"), {"messages": HI}), looking)).status_code == 403
    assert (await playground.turn(None, asked(site_of("x"), {"messages": HI}), place("auditor"))).status_code == 403
    assert (await playground.turn(None, asked(site_of("x"), b"", "GET"), place())).status_code == 405


async def test_a_turn_that_fails_before_it_begins_says_so() -> None:
    answer = await playground.turn(None, asked(site_of(UpstreamError()), {"messages": HI}), place())
    [(name, said)] = await events(answer)
    assert (name, said["code"]) == ("error", "upstream_error")


async def test_leaving_stops_the_turn() -> None:
    site = site_of("Hel", asyncio.Event())
    answer = await playground.turn(None, asked(site, {"messages": HI}), place())
    stream = aiter(answer)
    assert b"start" in await anext(stream)
    await asyncio.to_thread(answer.close)
    await within(5, lambda: site.behind.journal.states == ["cancelled"])
