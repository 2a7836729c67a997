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
from compliance.compiling import effective, listed, matcher
from compliance.guard import TenantWords
from compliance.models import SensitiveWordList
from compliance.validation import MOST_WORDS, clean_switches
from compliance.words import WordMatcher
from engine.errors import InvalidRequest
from engine.types import ChatRequest

MOST_LISTS = 20
UNSAVED = "unsaved"

ListId = Annotated[int, Meta(ge=1, le=2**63 - 1)]


class WordTestBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A text to be tried, both ways unless told. With `lists` (ids) or `words` only those are tried, at their own
    stage, whether in use or not; else what applies to the tenant now. `action` and `switches` (null: the usual ones)
    are those of the `words`."""

    text: Annotated[str, Meta(max_length=bench.LONGEST_TEXT)]
    direction: DirectionName = "both"
    lists: Annotated[list[ListId], Meta(max_length=MOST_LISTS)] | None = None
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

    area = "words"
    http_method_names = ["post"]

    async def post(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        body = schemas.fields(self.body(), WordTestBody)
        await count(self.parts, self.principal, ChatRequest(messages=[]))
        tenant_id = self.principal.tenant_id
        if body.lists is None and body.words is None:
            work = partial(try_now, self.parts.words.value.of(tenant_id), body)
        else:
            work = partial(try_chosen, tenant_id, body, self.parts.words.value.default)
        return self.json(WordTestAnswer(await self.parts.trials.run(work)))


class WordHitsView(LeanView):
    """GET `?days=`: how often the list's entries were found in the tenant's turns, by day and by entry."""

    area = "words"
    http_method_names = ["get"]

    async def get(self, request: Request, list_id: str, **kwargs: Any) -> JsonReply:
        days = whole(request.GET.get("days"), "days", hit_reports.SHOWN_DAYS, hit_reports.KEPT_DAYS)
        return self.json(await self.parts.rows.run(partial(hits, self.principal.tenant_id, known_form(list_id), days)))


def try_now(words: TenantWords | None, body: WordTestBody) -> list[bench.Tried]:
    """By what this worker's turns read at this moment."""
    return [
        bench.try_text(None if words is None else getattr(words, way), body.text, way) for way in _ways(body.direction)
    ]


def try_chosen(tenant_id: int, body: WordTestBody, mandatory: TenantWords | None) -> list[bench.Tried]:
    """By lists that are compiled for it, with the tenant's exceptions as far as the mandatory lists let them. Raises
    NotFound, ValidationError."""
    rows = [visible(tenant_id, list_id) for list_id in sorted(set(body.lists or ()))]
    if sum(row.size for row in rows) > MOST_WORDS:
        raise InvalidRequest(f"lists: they hold more than {MOST_WORDS} words together.", param="lists")
    if body.words is not None:
        rows.append(_unsaved(tenant_id, body))
    exceptions = effective(wordlists.exceptions_of(tenant_id).words.splitlines(), mandatory)
    compiled: dict[tuple[int, ...], WordMatcher | None] = {}
    tried = []
    for way in _ways(body.direction):
        chosen = [row for row in rows if row.words and row.direction in ("both", way)]
        key = tuple(row.pk for row in chosen)
        if key not in compiled:
            compiled[key] = matcher(map(listed, chosen), exceptions)
        tried.append(bench.try_text(compiled[key], body.text, way))
    return tried


def _unsaved(tenant_id: int, body: WordTestBody) -> SensitiveWordList:
    """The words of the body as a list that is nowhere."""
    row = SensitiveWordList(pk=0, tenant_id=tenant_id, name=UNSAVED, action=body.action)
    row.words = lines(body.words or ())
    if body.switches is not None:
        row.switches = clean_switches(body.switches)
    return row


def hits(tenant_id: int, list_id: int, days: int) -> HitsAnswer:
    """Raises NotFound."""
    row = visible(tenant_id, list_id)
    found = hit_reports.report(row.pk, tenant_id, days)
    return HitsAnswer(list_id=row.pk, action=row.action, days=found.days, entries=found.entries, total=found.total)


def _ways(direction: str) -> list[Literal["input", "output"]]:
    return ["input", "output"] if direction == "both" else ["input" if direction == "input" else "output"]
