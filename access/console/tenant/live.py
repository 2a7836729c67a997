"""Live turns: what runs in a tenant now, at every worker; one watched while it is written; a button that stops it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from access import errors, languages
from access.console.bridge import EngineBridge, LiveParts, live_of
from access.console.reach import Reach, tenant_reach
from access.console.recorded_turn import duration, moment_here
from access.console.sessions import address, asked
from access.console.tenant.place import Place
from access.frames import TURN_ID
from access.live_turns import LiveTurn
from engine.errors import EngineError, TurnNotFound
from engine.types import Principal

AREA: Final = "sessions"
REFRESH: Final = 4  # seconds between two looks at the list
STATES: Final = {"waiting": "journal-warning", "begun": "journal-info", "answering": "journal-success"}
STREAM: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def listed(site: Any, request: HttpRequest) -> HttpResponse:
    """The list; and, sent a turn's id by POST, the end of that turn."""
    reach = tenant_reach(request, AREA)
    if request.method == "POST":
        reach.demand(AREA)
        _cancel(request, reach, request.POST.get("turn", ""))
        return HttpResponseRedirect(reach.address("live"))
    context: dict[str, Any] = {"title": _("Live turns"), "may_cancel": reach.may(AREA, "change"), "every": REFRESH}
    try:
        bridge, live = live_of(request)
        assert reach.tenant is not None
        workers = asked(bridge, live.turns.workers())
        turns = asked(bridge, live.turns.listed(reach.tenant.pk))
        context |= {"turns": [_shown(reach, turn) for turn in turns], "workers": len(workers)}
    except EngineError as error:
        context["trouble"] = f"{error.message} ({error.code})"
    page: HttpResponse = site.page(request, "tenant/live.html", context)
    page.headers["Refresh"] = str(REFRESH)
    return page


def watched(site: Any, request: HttpRequest, turn_id: str) -> HttpResponse:
    """One turn; where it is over by now, what is recorded of it."""
    reach = tenant_reach(request, AREA)
    try:
        turn = _find(reach, *live_of(request), turn_id)
    except EngineError as error:
        messages.info(request, _("This turn does not run (any more)."))
        known = TURN_ID.match(turn_id) is not None and reach.may("journal") and isinstance(error, TurnNotFound)
        gone = reach.address("compliance_auditentry_change", turn_id) if known else reach.address("live")
        return HttpResponseRedirect(gone)
    context = {
        "title": _("Live turn"),
        "turn": _shown(reach, turn),
        "facts": _facts(turn),
        "may_cancel": reach.may(AREA, "change"),
        "events": reach.address("watch_events", turn_id),
    }
    page: HttpResponse = site.page(request, "tenant/watch.html", context)
    return page


async def events(site: Any, request: HttpRequest, place: Place, turn_id: str) -> HttpResponseBase:
    """The turn's server-sent events from its beginning on. Who looks is none of its readers."""
    try:
        _bridge, live = live_of(request)
        turn = await live.turns.find(place.tenant.pk, turn_id)
        if not turn.watchable:
            raise TurnNotFound("Only answers that are streamed to the product's own clients can be watched.")
    except EngineError as error:
        return errors.numbered(error, request)
    language = languages.wanted(get_language(), None)
    return StreamingHttpResponse(
        _followed(live, turn, place, language), content_type="text/event-stream; charset=utf-8", headers=STREAM
    )


async def _followed(live: LiveParts, turn: LiveTurn, place: Place, language: str) -> AsyncIterator[bytes]:
    try:
        async for some in live.turns.watch(turn, place.tenant.slug, language):
            yield b"".join(some) or b": watching\n\n"
    except EngineError:
        return  # the page goes to what is recorded of it


def _find(reach: Reach, bridge: EngineBridge, live: LiveParts, turn_id: str) -> LiveTurn:
    """Raises TurnNotFound, Unavailable."""
    assert reach.tenant is not None
    return asked(bridge, live.turns.find(reach.tenant.pk, turn_id))


def _cancel(request: HttpRequest, reach: Reach, turn_id: str) -> None:
    assert reach.tenant is not None
    who = Principal(
        tenant_id=reach.tenant.pk,
        tenant=reach.tenant.slug,
        kind="system",
        subject=reach.actor,
        user=reach.actor,
        scopes=frozenset({"manage"}),
    )
    try:
        if not TURN_ID.match(turn_id):
            raise TurnNotFound
        bridge, live = live_of(request)
        asked(bridge, live.turns.cancel(who, turn_id))
    except EngineError as error:
        messages.error(request, f"{error.message} ({error.code})")
    else:
        messages.success(request, _("It is being stopped."))


def _shown(reach: Reach, turn: LiveTurn) -> dict[str, Any]:
    assert reach.tenant is not None
    names = {"waiting": _("waiting"), "begun": _("begun"), "answering": _("answering")}
    session = address(reach, reach.tenant, turn.user, turn.session_id) if turn.session_id and turn.user else ""
    return {
        "id": turn.id,
        "user": turn.user,
        "caller": turn.subject if turn.subject != turn.user else "",
        "model": turn.model or turn.wanted,
        "edge": turn.edge,
        "state": names.get(turn.state, turn.state),
        "colour": STATES.get(turn.state, "journal-info"),
        "pieces": turn.pieces,
        "since": duration(max(time.time() - turn.began, 0.0)),
        "session": turn.session_id,
        "session_address": session,
        "watch": reach.address("watch", turn.id) if turn.watchable and turn.id else "",
        "record": reach.address("compliance_auditentry_change", turn.id) if turn.id and reach.may("journal") else "",
    }


def _facts(turn: LiveTurn) -> list[tuple[Any, Any]]:
    facts = [
        (_("Turn"), turn.id),
        (_("User"), turn.user),
        (_("Caller"), turn.subject),
        (_("Model"), turn.model or turn.wanted),
        (_("Edge"), turn.edge),
        (_("Session"), turn.session_id),
        (_("Since"), moment_here(turn.began)),
    ]
    return [(name, value) for name, value in facts if value]
