"""`/api/data-sources`: the databases of a tenant that questions are answered from. An address goes in and never comes
out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from functools import partial
from typing import Annotated, Any, Final, TypeVar

import msgspec
from django.db import transaction
from django.http import HttpResponse
from msgspec import UNSET, Meta, UnsetType
from rest_framework.request import Request

from access import schemas
from access.lean import JsonReply
from access.management.paging import Page, cut, number, page_of
from access.views import LeanView
from engine.errors import Conflict, NotFound, Overloaded
from engine.types import Json
from plugins.databases import services
from plugins.databases.catalogue import Source, Table, Tables
from plugins.databases.failures import QueryFailed
from plugins.databases.validation import plain_tables
from plugins.models import DataSource

T = TypeVar("T")

MISSING: Final = "There is no such database."
LOOKING: Final = 2  # looks at a time, in all
WAITING: Final = 8

Name = Annotated[str, Meta(min_length=1, max_length=64)]
Url = Annotated[str, Meta(min_length=1, max_length=1_000, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
About = Annotated[str, Meta(max_length=2_000)]
RowLimit = Annotated[int, Meta(ge=1, le=1_000)]
TimeLimit = Annotated[float, Meta(ge=0.1, le=30)]
CostLimit = Annotated[float, Meta(ge=1, le=1e15)]


class DataSourceBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A database: `url` such as postgresql://user:password@host:5432/name?sslmode=require, mysql://… or
    sqlite:///file.sqlite3; `tables` what of it may be read. Limits are those of one query."""

    name: Name
    url: Url
    description: About = ""
    enabled: bool = True
    tables: Tables = ()
    row_limit: RowLimit = 100
    time_limit: TimeLimit = 5.0
    cost_limit: CostLimit | None = 1_000_000.0


class DataSourcePatch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is to change; what is absent stays."""

    name: Name | UnsetType = UNSET
    url: Url | UnsetType = UNSET
    description: About | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    tables: Tables | UnsetType = UNSET
    row_limit: RowLimit | UnsetType = UNSET
    time_limit: TimeLimit | UnsetType = UNSET
    cost_limit: CostLimit | None | UnsetType = UNSET


class DataSourceAnswer(msgspec.Struct, kw_only=True):
    """A database. `place` is its host and name without user and password. `may_write`: its role could change data, as
    the last look found, `looked_at` in Unix seconds; it should not."""

    id: int
    name: str
    dialect: str
    place: str
    description: str
    enabled: bool
    tables: list[Json]
    row_limit: int
    time_limit: float
    cost_limit: float | None
    may_write: bool | None
    looked_at: float | None
    created_at: float


class DataSourcePage(msgspec.Struct):
    """The newest first; `next` is the `after` of the following page, null at the end."""

    data_sources: list[DataSourceAnswer]
    next: int | None


class LookAnswer(msgspec.Struct):
    """What is in a database: put the tables and columns that may be read into its `tables`. `more`: there are more."""

    tables: list[Table]
    more: bool
    may_write: bool


class DataSourceList(LeanView):
    """GET: the tenant's databases. POST: registers one, 201."""

    area = "plugins"
    http_method_names = ["get", "post"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        return self.json(await self.parts.rows.run(partial(listed, self.principal.tenant_id, page_of(request))))

    async def post(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        values = given(schemas.fields(self.body(), DataSourceBody))
        return self.json(await self.parts.rows.run(partial(make, self.principal.tenant_id, values)), status=201)


class DataSourceDetail(LeanView):
    """GET, PATCH and DELETE of one. Unknown and foreign ids alike are 404."""

    area = "plugins"
    http_method_names = ["get", "patch", "delete"]

    async def get(self, request: Request, source_id: str, **kwargs: Any) -> JsonReply:
        work = partial(own, self.principal.tenant_id, number(source_id, MISSING))
        return self.json(answer(await self.parts.rows.run(work)))

    async def patch(self, request: Request, source_id: str, **kwargs: Any) -> JsonReply:
        found = number(source_id, MISSING)
        values = given(schemas.fields(self.body(), DataSourcePatch))
        return self.json(await self.parts.rows.run(partial(change, self.principal.tenant_id, found, values)))

    async def delete(self, request: Request, source_id: str, **kwargs: Any) -> HttpResponse:
        await self.parts.rows.run(partial(remove, self.principal.tenant_id, number(source_id, MISSING)))
        return HttpResponse(status=204)


class Looks:
    """Threads of their own for what may hang on somebody's server. One a process."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKING, thread_name_prefix="database-look")
        self._waiting = 0

    async def run(self, work: Callable[[], T]) -> T:
        """Raises Overloaded."""
        if self._waiting >= WAITING:
            raise Overloaded(retry_after=5)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, Context().run, work)
        finally:
            self._waiting -= 1


class DataSourceLook(LeanView):
    """POST: connects, and tells what tables and columns there are."""

    area = "plugins"
    looks = Looks()
    http_method_names = ["post"]

    async def post(self, request: Request, source_id: str, **kwargs: Any) -> JsonReply:
        tenant_id, found = self.principal.tenant_id, number(source_id, MISSING)
        source = await self.parts.rows.run(partial(seen, tenant_id, found))
        try:
            look = await self.looks.run(partial(services.look_at, source))
        except QueryFailed as error:
            raise Conflict(str(error)) from None
        await self.parts.rows.run(partial(note, tenant_id, found, look.may_write))
        return self.json(LookAnswer(look.tables, look.more, look.may_write))


def listed(tenant_id: int, page: Page) -> DataSourcePage:
    found, following = cut(DataSource.objects.for_tenant(tenant_id), page)
    return DataSourcePage([answer(row) for row in found], following)


def make(tenant_id: int, values: Json) -> DataSourceAnswer:
    """Raises ValidationError."""
    return _saved(DataSource(tenant_id=tenant_id), values)


def change(tenant_id: int, source_id: int, values: Json) -> DataSourceAnswer:
    """Raises NotFound, ValidationError."""
    with transaction.atomic():
        return _saved(own(tenant_id, source_id, lock=True), values)


def remove(tenant_id: int, source_id: int) -> None:
    """Raises NotFound."""
    own(tenant_id, source_id).delete()


def seen(tenant_id: int, source_id: int) -> Source:
    """Raises NotFound."""
    return services.view(own(tenant_id, source_id))


def note(tenant_id: int, source_id: int, may_write: bool) -> None:
    """Raises NotFound: it was deleted meanwhile."""
    services.looked(own(tenant_id, source_id), may_write)


def own(tenant_id: int, source_id: int, *, lock: bool = False) -> DataSource:
    """Raises NotFound."""
    rows = DataSource.objects.for_tenant(tenant_id)
    row: DataSource | None = (rows.select_for_update() if lock else rows).filter(pk=source_id).first()
    if row is None:
        raise NotFound(MISSING)
    return row


def given(asked: DataSourceBody | DataSourcePatch) -> Json:
    """What a body says, `tables` as they are kept."""
    values = {name: value for name, value in msgspec.structs.asdict(asked).items() if value is not UNSET}
    if "tables" in values:
        values["tables"] = plain_tables(values["tables"])
    return values


def answer(row: DataSource) -> DataSourceAnswer:
    return DataSourceAnswer(
        id=row.pk,
        name=row.name,
        dialect=row.dialect,
        place=row.place,
        description=row.description,
        enabled=row.enabled,
        tables=row.tables,
        row_limit=row.row_limit,
        time_limit=row.time_limit,
        cost_limit=row.cost_limit,
        may_write=row.may_write,
        looked_at=row.looked_at.timestamp() if row.looked_at is not None else None,
        created_at=row.created_at.timestamp(),
    )


def _saved(row: DataSource, values: Json) -> DataSourceAnswer:
    url = values.pop("url", None)
    changed = {name: value for name, value in values.items() if getattr(row, name) != value}
    for name, value in changed.items():
        setattr(row, name, value)
    if row._state.adding or changed or url is not None:
        services.save_source(source=row, url=url, by_tenant=True)
    return answer(row)
