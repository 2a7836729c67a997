"""The playground: one prompt to up to four models side by side. Each column is a turn of the person's own: through the
engine, counted against the limits, in the journal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import msgspec
import orjson
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from access import bodies, errors, languages, schemas
from access.console import decisions
from access.console.bridge import EngineBridge, LiveParts, live_of
from access.console.playground_form import COLUMNS, PlaygroundForm
from access.console.reach import Reach, tenant_reach
from access.console.recorded_turn import duration
from access.console.tenant.live import STREAM
from access.console.tenant.place import Place
from access.generations import Generation
from compliance.journal.reader import TurnRecord
from engine import pricing
from engine.entries import Completion
from engine.errors import EngineError, Forbidden, MethodNotAllowed, Unavailable
from engine.types import AUTO, ChatRequest, Json
from routing.table import RoutingTable

AREA: Final = "playground"
EDGE: Final = "console"


def shown(site: Any, request: HttpRequest) -> HttpResponse:
    reach = tenant_reach(request, AREA)
    context: dict[str, Any] = {
        "title": _("Playground"),
        "form": PlaygroundForm(initial={"model_1": AUTO}, models=_models(request, reach)),
        "columns": range(1, COLUMNS + 1),
        "may_run": reach.may(AREA, "change"),
        "journal_allowed": reach.may("journal"),
        "words": _words(),
    }
    page: HttpResponse = site.page(request, "tenant/playground.html", context)
    return page


async def turn(site: Any, request: HttpRequest, place: Place) -> HttpResponseBase:
    """POST a body as `/api/chat` takes it: the events of the answer, and `why` behind the last."""
    try:
        if request.method != "POST":
            raise MethodNotAllowed
        if not place.may(AREA, "change"):
            raise Forbidden
        bridge, live = live_of(request)
        chat = _chat(request)
        generation = live.generations.begin(place.principal(), chat, _language())
    except EngineError as error:
        return errors.numbered(error, request)
    told = Told(generation, _told(bridge, live, generation, place, chat.request_id))
    return StreamingHttpResponse(told, content_type="text/event-stream; charset=utf-8", headers=STREAM)


class Told:
    """What is sent. Django closes it with the answer, in a thread, however that ends: who left asks nothing more."""

    def __init__(self, generation: Generation, events: AsyncIterator[bytes]) -> None:
        self._generation = generation
        self._events = events
        self._loop = asyncio.get_running_loop()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._events

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._generation.cancel)


def _chat(request: HttpRequest) -> ChatRequest:
    """Raises InvalidRequest. No session: each column begins anew."""
    body = bodies.parse(request.body)
    kept = {name: value for name, value in body.items() if name not in ("session_id", "user", "user_profile")}
    number = getattr(request, "request_id", "")
    chat = schemas.chat_request({**kept, "stream": True}, edge="sse", request_id=number, headers=())
    return msgspec.structs.replace(chat, edge=EDGE, remember=False)


async def _told(
    bridge: EngineBridge, live: LiveParts, generation: Generation, place: Place, request_id: str
) -> AsyncIterator[bytes]:
    """Whoever leaves stops the turn at once."""
    try:
        try:
            await generation.opened()
        except EngineError as error:
            yield _event("error", errors.event(error, request_id, _language()))
            return
        with generation.reading(None) as reader:
            while some := await reader.next():
                yield b"".join(some)
        try:
            record = await live.read_turn(place.tenant.pk, generation.id)
        except EngineError:
            return
        yield _event("why", explained(record, bridge.routes.value, place))
    finally:
        generation.cancel()


def _event(name: str, said: Json) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(said, default=str))


def explained(record: TurnRecord, table: RoutingTable, place: Place) -> Json:
    """What the page shows below an answer; texts only, to be shown as text."""
    decision, end = record.decision, record.completion
    facts = [[str(name), str(value)] for name, value in decisions.reasons(decision)]
    verdicts = [*record.intent.verdicts, *(end.verdicts if end is not None else [])]
    facts += [[_("Sensitive words"), f"{each.where}: {each.action} ({each.list})"] for each in verdicts]
    return {
        "facts": facts,
        "candidates": _texts(decisions.candidates(decision.get("candidates"))),
        "figures": _figures(end, table, place.tenant.pk) if end is not None else [],
    }


def _figures(end: Completion, table: RoutingTable, tenant_id: int) -> list[list[str]]:
    usage = end.usage
    tokens = f"{usage.prompt_tokens} + {usage.completion_tokens}"
    spent = cost(end, table, tenant_id)
    figures = [
        (_("Tokens in and out"), f"{tokens} ({_('estimated')})" if usage.estimated else tokens),
        (_("Cost"), f"{spent / pricing.UNIT:.6f}" if spent is not None else ""),
        (_("First token after"), duration(end.ttft) if end.ttft is not None else ""),
        (_("Took"), duration(end.duration)),
    ]
    return [[name, value] for name, value in figures if value]


def cost(end: Completion, table: RoutingTable, tenant_id: int) -> int | None:
    """In millionths, at the prices as they are now; None: no instance of this name is in service any more."""
    if end.source != "model":
        return 0
    ids = {each.get("id") for each in end.decision.get("candidates", []) if isinstance(each, dict)}
    named = [
        entry.instance
        for entry in table.entries.values()
        if entry.instance.name == end.instance and entry.serves(tenant_id)
    ]
    found = next((instance for instance in named if instance.id in ids), named[0] if named else None)
    return pricing.cost(found, end.usage) if found is not None else None


def _texts(table: Json | None) -> Json | None:
    if table is None:
        return None
    headers, rows = table["headers"], table["rows"]
    return {"headers": [str(each) for each in headers], "rows": [[str(cell) for cell in row] for row in rows]}


def _models(request: HttpRequest, reach: Reach) -> list[str]:
    """What can be asked for, `auto` first."""
    assert reach.tenant is not None
    try:
        _bridge, live = live_of(request)
    except Unavailable:
        return [AUTO]
    return [model.id for model in live.router.public_models(reach.tenant.pk)]


def _language() -> str:
    return languages.wanted(get_language(), None)


def _words() -> Mapping[str, str]:
    """What the page's script says, in the page's language."""
    return {
        "asking": _("Asking …"),
        "answering": _("Answering …"),
        "done": _("Done."),
        "stopped": _("Stopped."),
        "lost": _("The connection was lost."),
        "prompt": _("Write a prompt first."),
        "number": _("Expected a number from %(low)s to %(high)s."),
    }
