"""`/api/words`: a tenant's own word lists, and those of the platform it can have."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from django.db import transaction
from django.http import HttpResponse
from msgspec import UNSET, Meta, UnsetType
from rest_framework.request import Request

from access import schemas
from access.lean import JsonReply
from access.views import LeanView
from compliance import wordlists
from compliance.compiling import stage
from compliance.models import SensitiveWordList, WordListSubscription
from compliance.validation import clean_words
from engine.errors import Forbidden, InvalidRequest, NotFound
from engine.types import Json

ListName = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
ActionName = Literal["record", "mask", "block"]
DirectionName = Literal["input", "output", "both"]

_NUMBER = re.compile(r"[1-9][0-9]{0,17}\Z")


class WordListBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A whole list. `action` is its stage. `switches` null: the usual ones. More than 4,096 words go through
    `/api/words/{id}/import`."""

    name: ListName
    words: list[str] = []
    action: ActionName = "block"
    direction: DirectionName = "both"
    switches: list[str] | None = None
    enabled: bool = True


class WordListPatch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What of a list is to change; what is absent stays."""

    name: ListName | UnsetType = UNSET
    words: list[str] | UnsetType = UNSET
    action: ActionName | UnsetType = UNSET
    direction: DirectionName | UnsetType = UNSET
    switches: list[str] | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class WordListAnswer(msgspec.Struct, kw_only=True):
    """A list; `size` counts its words. One of the `scope` `platform` is not the tenant's to change: it `applies` where
    the tenant subscribed or it is `mandatory`, at the stage `applied_action`."""

    id: int
    name: str
    scope: Literal["tenant", "platform"]
    action: str
    direction: str
    switches: list[str]
    enabled: bool
    mandatory: bool
    public: bool
    size: int
    version: int
    updated_at: float
    applies: bool
    applied_action: str | None


class WordListDetail(WordListAnswer, kw_only=True):
    """A list with its words; null where they are not shown: of a platform list that is not `public`."""

    words: list[str] | None


class WordListPage(msgspec.Struct):
    """The tenant's own, then the platform's, by name."""

    lists: list[WordListAnswer]


class WordListsView(LeanView):
    """GET: the tenant's lists and the platform's that it can have, without their words. POST: makes one, 201."""

    area = "words"
    http_method_names = ["get", "post"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        return self.json(WordListPage(await self.parts.rows.run(partial(listed, self.principal.tenant_id))))

    async def post(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        values = msgspec.structs.asdict(schemas.fields(self.body(), WordListBody))
        work = partial(make, self.principal.tenant_id, values, self.principal.subject)
        return self.json(await self.parts.rows.run(work), status=201)


class WordListView(LeanView):
    """GET, PUT (a whole list), PATCH (what changes) and DELETE of one list. Unknown and foreign ids alike are 404; one
    of the platform's can be read, changing it is 403."""

    area = "words"
    http_method_names = ["get", "put", "patch", "delete"]

    async def get(self, request: Request, list_id: str, **kwargs: Any) -> JsonReply:
        return self.json(await self.parts.rows.run(partial(read, self.principal.tenant_id, known_form(list_id))))

    async def put(self, request: Request, list_id: str, **kwargs: Any) -> JsonReply:
        return await self._change(list_id, WordListBody)

    async def patch(self, request: Request, list_id: str, **kwargs: Any) -> JsonReply:
        return await self._change(list_id, WordListPatch)

    async def delete(self, request: Request, list_id: str, **kwargs: Any) -> HttpResponse:
        await self.parts.rows.run(partial(remove, self.principal.tenant_id, known_form(list_id)))
        return HttpResponse(status=204)

    async def _change(self, list_id: str, kind: type[WordListBody] | type[WordListPatch]) -> JsonReply:
        found = known_form(list_id)
        values = schemas.given(schemas.fields(self.body(), kind))
        work = partial(change, self.principal.tenant_id, found, values, self.principal.subject)
        return self.json(await self.parts.rows.run(work))


def listed(tenant_id: int) -> list[WordListAnswer]:
    """Two queries, and none of the words."""
    chosen = subscriptions(tenant_id)
    own = wordlists.lists_of(tenant_id).order_by("name").defer("words")
    shared = offered().order_by("name").defer("words")
    return [answer(row, chosen) for rows in (own, shared) for row in rows]


def read(tenant_id: int, list_id: int) -> WordListDetail:
    """Raises NotFound."""
    return detail(visible(tenant_id, list_id), subscriptions(tenant_id))


def make(tenant_id: int, values: Json, by: str) -> WordListDetail:
    """Raises ValidationError."""
    row = SensitiveWordList(tenant_id=tenant_id)
    _fill(row, values)
    return detail(wordlists.save_list(words=row, by=by))


def change(tenant_id: int, list_id: int, values: Json, by: str) -> WordListDetail:
    """Raises NotFound, Forbidden, ValidationError."""
    with transaction.atomic():
        row = own(tenant_id, list_id)
        _fill(row, values)
        return detail(wordlists.save_list(words=row, by=by))


def remove(tenant_id: int, list_id: int) -> None:
    """Raises NotFound, Forbidden."""
    with transaction.atomic():
        own(tenant_id, list_id).delete()


def _fill(row: SensitiveWordList, values: Json) -> None:
    for name, value in values.items():
        if name == "words":
            row.words = lines(value)
        elif name == "switches" and value is None:
            row.switches = SensitiveWordList().switches
        else:
            setattr(row, name, value)


def lines(words: Iterable[str]) -> str:
    """Cleaned before they are put together, so that a line break inside of one is an error and not two words."""
    return "\n".join(clean_words(words))


def offered() -> Any:
    """The platform's lists that tenants can have."""
    return wordlists.lists_of(None).filter(enabled=True)


def subscriptions(tenant_id: int) -> dict[int, str]:
    """The stage the tenant chose ("": the list's), by list."""
    return dict(WordListSubscription.objects.for_tenant(tenant_id).values_list("list_id", "action"))


def visible(tenant_id: int, list_id: int) -> SensitiveWordList:
    """One's own, or one of the platform's. Raises NotFound."""
    row = wordlists.lists_of(tenant_id).filter(pk=list_id).first() or offered().filter(pk=list_id).first()
    if row is None:
        raise NotFound("There is no such word list.")
    return row


def readable(tenant_id: int, list_id: int) -> SensitiveWordList:
    """One whose words the tenant may see. Raises NotFound, Forbidden."""
    row = visible(tenant_id, list_id)
    if row.tenant_id is None and not row.public:
        raise Forbidden("The words of this list are not shown to tenants.")
    return row


def own(tenant_id: int, list_id: int) -> SensitiveWordList:
    """Locked until the transaction ends. Raises NotFound, Forbidden."""
    row = wordlists.lists_of(tenant_id).select_for_update().filter(pk=list_id).first()
    if row is not None:
        return row
    visible(tenant_id, list_id)
    raise Forbidden("This list is the platform's: its operators change it.")


def answer(row: SensitiveWordList, chosen: dict[int, str] | None = None) -> WordListAnswer:
    return WordListAnswer(**_fields(row, chosen or {}))


def detail(row: SensitiveWordList, chosen: dict[int, str] | None = None) -> WordListDetail:
    shown = row.tenant_id is not None or row.public
    return WordListDetail(**_fields(row, chosen or {}), words=row.words.splitlines() if shown else None)


def _fields(row: SensitiveWordList, chosen: dict[int, str]) -> dict[str, Any]:
    platform = row.tenant_id is None
    applies = row.enabled and (not platform or row.mandatory or row.pk in chosen)
    return {
        "id": row.pk,
        "name": row.name,
        "scope": "platform" if platform else "tenant",
        "action": row.action,
        "direction": row.direction,
        "switches": row.switches,
        "enabled": row.enabled,
        "mandatory": row.mandatory,
        "public": row.public,
        "size": row.size,
        "version": row.version,
        "updated_at": row.updated_at.timestamp(),
        "applies": applies,
        "applied_action": stage(row.action, chosen.get(row.pk, ""), mandatory=row.mandatory) if applies else None,
    }


def known_form(list_id: str) -> int:
    """No list has another form of id, so there is nothing to look for."""
    if not _NUMBER.match(list_id):
        raise NotFound("There is no such word list.")
    return int(list_id)


def whole(value: str | None, name: str, usual: int, most: int) -> int:
    """A whole number of a query. Raises InvalidRequest."""
    if value is None:
        return usual
    if not _NUMBER.match(value) or int(value) > most:
        raise InvalidRequest(f"{name} must be 1 to {most}.", param=name)
    return int(value)
