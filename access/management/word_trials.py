"""`/api/words/test` and `/api/words/{list_id}/hits`: what lists would do with a text, and what they did."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from rest_framework.request import Request

from access import schemas
from access.lean import JsonReply
from access.management.routes import count
from access.management.words import ActionName, DirectionName, known_form, lines, visible, whole
from access.views import LeanView
from compliance import bench, hit_reports, wordlists
from compliance.compiling import Listed, effective, listed, matcher
from compliance.guard import TenantWords
from compliance.models import SensitiveWordList
from compliance.validation import clean_switches
from engine.types import ChatRequest

MOST_LISTS = 20
UNSAVED = "unsaved"


class WordTestBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A text to be tried, both ways unless told. With `lists` (ids) or `words` only those are tried, at their own
    stage, whether in use or not; else what applies to the tenant now. `action` and `switches` (null: the usual ones)
    are those of the `words`."""

    text: Annotated[str, Meta(max_length=bench.LONGEST_TEXT)]
    direction: DirectionName = "both"
    lists: Annotated[list[int], Meta(max_length=MOST_LISTS)] | None = None
    words: list[str] | None = None
    action: ActionName = "block"
    switches: list[str] | None = None


class WordTestAnswer(msgspec.Struct):
    """One for each direction."""

    tried: list[bench.Tried]


class HitsAnswer(hit_reports.HitReport, kw_only=True):
    """The tenant's own turns in which the list's entries were found."""

    list_id: int
    action: str


class WordTest(LeanView):
    """POST a text: what would become of it and which entry does it. Nothing is written; it counts against the tenant's
    limits like a turn."""

    needs = ("manage",)
    http_method_names = ["post"]

    async def post(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        body = schemas.fields(self.body(), WordTestBody)
        await count(self.parts, self.principal, ChatRequest(messages=[]))
        tenant_id = self.principal.tenant_id
        if body.lists is None and body.words is None:
            work = partial(try_now, self.parts.words.value.of(tenant_id), body)
        else:
            work = partial(try_chosen, tenant_id, body)
        return self.json(WordTestAnswer(await self.parts.rows.run(work)))


class WordHitsView(LeanView):
    """GET `?days=`: how often the list's entries were found in the tenant's turns, by day and by entry."""

    needs = ("manage",)
    http_method_names = ["get"]

    async def get(self, request: Request, list_id: str, **kwargs: Any) -> JsonReply:
        days = whole(request.GET.get("days"), "days", hit_reports.SHOWN_DAYS, hit_reports.KEPT_DAYS)
        return self.json(await self.parts.rows.run(partial(hits, self.principal.tenant_id, known_form(list_id), days)))


def try_now(words: TenantWords | None, body: WordTestBody) -> list[bench.Tried]:
    """By what this worker's turns read at this moment."""
    return [
        bench.try_text(None if words is None else getattr(words, way), body.text, way) for way in _ways(body.direction)
    ]


def try_chosen(tenant_id: int, body: WordTestBody) -> list[bench.Tried]:
    """By lists that are compiled for it, with the tenant's exceptions. Raises NotFound, ValidationError."""
    rows = [visible(tenant_id, list_id) for list_id in sorted(set(body.lists or ()))]
    if body.words is not None:
        unsaved = SensitiveWordList(name=UNSAVED, action=body.action, words=lines(body.words), tenant_id=tenant_id)
        unsaved.pk = 0
        if body.switches is not None:
            unsaved.switches = clean_switches(body.switches)
        rows.append(unsaved)
    excepted = wordlists.exceptions_of(tenant_id).words.splitlines()
    exceptions = effective(excepted, [row for row in rows if row.mandatory])
    tried = []
    for way in _ways(body.direction):
        lists: list[Listed] = [listed(row) for row in rows if row.words and row.direction in ("both", way)]
        tried.append(bench.try_text(matcher(lists, exceptions), body.text, way))
    return tried


def hits(tenant_id: int, list_id: int, days: int) -> HitsAnswer:
    """Raises NotFound."""
    row = visible(tenant_id, list_id)
    found = hit_reports.report(row.pk, tenant_id, days)
    return HitsAnswer(list_id=row.pk, action=row.action, days=found.days, entries=found.entries, total=found.total)


def _ways(direction: str) -> list[Literal["input", "output"]]:
    return ["input", "output"] if direction == "both" else ["input" if direction == "input" else "output"]
