"""`/api/words/{list_id}/…`: what a list was, what changed, and the ways back and forward."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import msgspec
from django.db import transaction
from msgspec import Meta
from rest_framework.request import Request

from access import schemas
from access.lean import JsonReply
from access.management.words import WordListDetail, detail, known_form, own, readable, whole
from access.views import LeanView
from compliance import wordlists
from compliance.models import WordListVersion
from engine.errors import InvalidRequest, NotFound

MOST_SHOWN = 1_000  # words of a difference, each way
MOST = 2**31 - 1


class VersionAnswer(msgspec.Struct, kw_only=True):
    """A list as it was saved once. `saved_by` is who did it, `note` what for; time in Unix seconds."""

    version: int
    action: str
    direction: str
    switches: list[str]
    enabled: bool
    size: int
    saved_by: str
    saved_at: float
    note: str


class VersionPage(msgspec.Struct):
    """The last 50, newest first."""

    versions: list[VersionAnswer]


class VersionDetail(VersionAnswer, kw_only=True):
    words: list[str]


class Changed(msgspec.Struct):
    """A setting that is another."""

    name: str
    before: Any
    after: Any


class DifferenceAnswer(msgspec.Struct, kw_only=True):
    """What `after` has that `before` had not, and the other way round: at most 1,000 words each, and how many there
    are."""

    before: int
    after: int
    added: list[str]
    removed: list[str]
    added_total: int
    removed_total: int
    settings: list[Changed]


class RollbackBody(msgspec.Struct, forbid_unknown_fields=True):
    version: Annotated[int, Meta(ge=1, le=MOST)]


class VersionsView(LeanView):
    """GET: the versions of a list whose words the tenant may see."""

    area = "words"
    http_method_names = ["get"]

    async def get(self, request: Request, list_id: str, **kwargs: Any) -> JsonReply:
        work = partial(versions, self.principal.tenant_id, known_form(list_id))
        return self.json(VersionPage(await self.parts.rows.run(work)))


class VersionView(LeanView):
    """GET: one of them, with its words."""

    area = "words"
    http_method_names = ["get"]

    async def get(self, request: Request, list_id: str, version: str, **kwargs: Any) -> JsonReply:
        number = _version(version)
        return self.json(
            await self.parts.rows.run(partial(read, self.principal.tenant_id, known_form(list_id), number))
        )


class DifferenceView(LeanView):
    """GET `?before=&after=`: what changed between two versions; unless told, with the last save."""

    area = "words"
    http_method_names = ["get"]

    async def get(self, request: Request, list_id: str, **kwargs: Any) -> JsonReply:
        numbers = [whole(request.GET.get(name), name, 0, MOST) for name in ("before", "after")]
        work = partial(difference, self.principal.tenant_id, known_form(list_id), *numbers)
        return self.json(await self.parts.rows.run(work))


class RollbackView(LeanView):
    """POST `{"version"}`: words, stage, direction and switches of an earlier version, as a new one."""

    area = "words"
    http_method_names = ["post"]

    async def post(self, request: Request, list_id: str, **kwargs: Any) -> JsonReply:
        number = schemas.fields(self.body(), RollbackBody).version
        work = partial(roll_back, self.principal.tenant_id, known_form(list_id), number, self.principal.subject)
        return self.json(await self.parts.rows.run(work))


class PromoteView(LeanView):
    """POST: the list goes on to its next stage, from record to mask to block."""

    area = "words"
    http_method_names = ["post"]

    async def post(self, request: Request, list_id: str, **kwargs: Any) -> JsonReply:
        work = partial(promote, self.principal.tenant_id, known_form(list_id), self.principal.subject)
        return self.json(await self.parts.rows.run(work))


def versions(tenant_id: int, list_id: int) -> list[VersionAnswer]:
    """Raises NotFound, Forbidden."""
    found = wordlists.versions_of(readable(tenant_id, list_id)).defer("packed")
    return [VersionAnswer(**_fields(each)) for each in found]


def read(tenant_id: int, list_id: int, number: int) -> VersionDetail:
    """Raises NotFound, Forbidden."""
    found = _found(tenant_id, list_id, number)
    return VersionDetail(**_fields(found), words=found.words.splitlines())


def difference(tenant_id: int, list_id: int, before: int, after: int) -> DifferenceAnswer:
    """0: the last version, and the one before it. Raises NotFound, Forbidden, InvalidRequest."""
    kept = wordlists.versions_of(readable(tenant_id, list_id)).values_list("version", flat=True)
    after = after or (kept.first() or 0)
    before = before or (kept.filter(version__lt=after).first() or 0)
    if not before:
        raise InvalidRequest("before: this list has no earlier version.", param="before")
    found = wordlists.difference(_found(tenant_id, list_id, before), _found(tenant_id, list_id, after))
    return DifferenceAnswer(
        before=before,
        after=after,
        added=found.added[:MOST_SHOWN],
        removed=found.removed[:MOST_SHOWN],
        added_total=len(found.added),
        removed_total=len(found.removed),
        settings=[Changed(name, *pair) for name, pair in found.settings.items()],
    )


def roll_back(tenant_id: int, list_id: int, number: int, by: str) -> WordListDetail:
    """Raises NotFound, Forbidden, ValidationError."""
    with transaction.atomic():
        return detail(wordlists.roll_back(words=own(tenant_id, list_id), version=number, by=by))


def promote(tenant_id: int, list_id: int, by: str) -> WordListDetail:
    """Raises NotFound, Forbidden, ValidationError."""
    with transaction.atomic():
        return detail(wordlists.promote(words=own(tenant_id, list_id), by=by))


def _found(tenant_id: int, list_id: int, number: int) -> WordListVersion:
    found = wordlists.versions_of(readable(tenant_id, list_id)).filter(version=number).first()
    if found is None:
        raise NotFound("There is no such version of this list.")
    return found


def _fields(row: WordListVersion) -> dict[str, Any]:
    names = ("version", "action", "direction", "switches", "enabled", "size", "note")
    return {
        **{name: getattr(row, name) for name in names},
        "saved_at": row.saved_at.timestamp(),
        "saved_by": row.saved_by if row.tenant_id is not None else "platform",  # its operators are nobody's business
    }


def _version(text: str) -> int:
    try:
        return whole(text, "version", 0, MOST)
    except InvalidRequest:
        raise NotFound("There is no such version of this list.") from None
