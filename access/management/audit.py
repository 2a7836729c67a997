"""`/api/audit`: the journal by filters, its records whole, searches and exports as jobs. Nobody changes anything."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta
from rest_framework.request import Request

from access import auditing, schemas
from access.audit_requests import request_export, request_search
from access.lean import JsonReply
from access.management.jobs import JobAnswer, answer
from access.management.turns import TurnDetail
from access.replaying import seconds
from access.views import LeanView
from compliance.journal import changes, listing, reader
from compliance.journal.changes import ChangeFilters
from compliance.journal.listing import Filters, Judged, Page
from compliance.journal.signing import platform_signer
from compliance.tree import checkpoints
from compliance.tree.database import tree_database
from engine.entries import Change
from engine.errors import InvalidRequest
from engine.types import Json, Principal
from tenants.models import Tenant

LARGEST_PAGE: Final = 200

When = float | Annotated[str, Meta(max_length=40)] | None
Name = Annotated[str, Meta(min_length=1, max_length=300)]
TurnId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
RowId = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Limit = Annotated[int, Meta(ge=1, le=LARGEST_PAGE)]


class AuditFilters(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from", "words": "list"}
):
    """Which turns. `from` and `to` are in Unix seconds or ISO 8601. `user` is as it was recorded: a member's id, or
    `key:<id>` and what a key's caller named after it. `model` and `instance` are what was asked for or what answered.
    `verdict`: the sensitive words said this, or `any` thing; `list` is the name of the list that did."""

    from_: When = None
    to: When = None
    user: Name | None = None
    key: RowId | None = None
    session: Name | None = None
    model: Name | None = None
    instance: Name | None = None
    state: Literal["completed", "refused", "failed", "cancelled", "aborted", "in_flight"] | None = None
    verdict: Literal["any", "block", "mask", "record"] | None = None
    words: Name | None = None
    edge: Name | None = None

    def filters(self) -> Filters:
        """Raises InvalidRequest."""
        return Filters(
            since=moment_of(self.from_, "from"),
            until=moment_of(self.to, "to"),
            user=self.user,
            key_id=self.key,
            session_id=self.session,
            model=self.model,
            instance=self.instance,
            state=self.state,
            verdict=self.verdict,
            word_list=self.words,
            edge=self.edge,
        )


class AuditQuery(AuditFilters, frozen=True, kw_only=True):
    before: TurnId | None = None
    limit: Limit = listing.PAGE


class SearchBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`text` is looked for in what was asked and answered; letter case makes no difference."""

    text: Annotated[str, Meta(min_length=1, max_length=200)]
    filters: AuditFilters = AuditFilters()


class ExportBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`verifiable` is for the stand-alone verifier: every entry of a time, so it takes `from` and `to` only."""

    format: Literal["jsonl", "csv", "verifiable"] = "jsonl"
    filters: AuditFilters = AuditFilters()


class AuditLine(msgspec.Struct, kw_only=True):
    """`model` is what was asked for, `answered_by` what answered. `user` is empty where it was erased."""

    id: str
    at: float
    user: str
    key: int | None
    session: str | None
    edge: str
    model: str
    answered_by: str
    instance: str
    state: str
    ended: float | None
    verdicts: list[Judged]


class AuditPage(msgspec.Struct):
    """Newest first. `next` is the `before` of the following page; null: this was the last. A page may be short, or
    empty, and still have a `next`: it looked at as many turns as one page does."""

    turns: list[AuditLine]
    next: str | None


class ChangeQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    from_: When = None
    to: When = None
    actor: Name | None = None
    model: Name | None = None
    row: Name | None = None
    action: Name | None = None
    before: TurnId | None = None
    limit: Limit = changes.PAGE

    def filters(self) -> ChangeFilters:
        """Raises InvalidRequest."""
        return ChangeFilters(
            since=moment_of(self.from_, "from"),
            until=moment_of(self.to, "to"),
            actor=self.actor,
            model=self.model,
            row=self.row,
            action=self.action,
        )


class ChangeLine(msgspec.Struct, kw_only=True):
    """`actor` is `operator:<id>`, `member:<id>`, `key:<id>`, `command:<name>`, `task:<name>` or `system`. `action` is
    `created`, `changed` or `deleted`. `before` and `after` have what differs; of secrets they say only that there is
    one (`***`) and that it is another (`*** (another)`)."""

    id: str
    at: float
    actor: str
    actor_label: str
    request_id: str
    action: str
    model: str
    row: str
    label: str
    before: Json
    after: Json
    erased: bool


class ChangeLines(msgspec.Struct):
    """Newest first. `next` is the `before` of the following page; null: this was the last."""

    changes: list[ChangeLine]
    next: str | None


class CheckpointLine(msgspec.Struct):
    """`note` is what was signed; `checkpoint` (the tree's size), `root` and `at` say the same for people."""

    checkpoint: int
    tenant: int
    root: str
    at: float
    key: str
    note: str


class CheckpointPage(msgspec.Struct):
    """The newest 1,000, newest first. `public_key` verifies their notes."""

    checkpoints: list[CheckpointLine]
    public_key: str


class EntryLine(msgspec.Struct):
    """An entry of the journal; `bytes` is the size of its body."""

    kind: str
    number: int
    at: float
    worker: str
    bytes: int


class AuditList(LeanView):
    """GET: turns, newest first. With the scope `audit` those of the tenant, without it the caller's own."""

    needs = ("audit", "chat")
    http_method_names = ["get"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        query = schemas.fields(request.GET.dict(), AuditQuery, strict=False)
        filters = allowed(self.principal, query.filters())
        if filters is None:
            return self.json(AuditPage([], None))
        work = partial(listing.page, self.principal.tenant_id, filters, before=query.before, limit=query.limit)
        page: Page = await self.parts.rows.run(partial(reader.readable, work))
        return self.json(AuditPage([_line(turn) for turn in page.turns], page.next))


class AuditDetail(TurnDetail):
    """GET: the whole record of a turn, and of which entries it was read."""

    needs = ("audit", "chat")

    async def get(self, request: Request, turn_id: str, **kwargs: Any) -> JsonReply:
        told = await self.told(turn_id)
        work = partial(reader.entries_of, self.principal.tenant_id, turn_id)
        entries = await self.parts.rows.run(partial(reader.readable, work))
        told["entries"] = [
            EntryLine(entry.kind, entry.number, entry.at, entry.worker, len(entry.body)) for entry in entries
        ]
        return self.json(told)


class AuditChanges(LeanView):
    """GET: changes of the tenant's configuration, newest first."""

    needs = ("audit",)
    http_method_names = ["get"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        query = schemas.fields(request.GET.dict(), ChangeQuery, strict=False)
        work = partial(changes.page, self.principal.tenant_id, query.filters(), before=query.before, limit=query.limit)
        found: changes.ChangePage = await self.parts.rows.run(partial(reader.readable, work))
        return self.json(ChangeLines([_change(each) for each in found.changes], found.next))


class AuditCheckpoints(LeanView):
    """GET: the signed checkpoints of the tenant's tree, newest first, and the key they are signed with."""

    needs = ("audit",)
    http_method_names = ["get"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        work = partial(_checkpoints, self.principal.tenant_id)
        return self.json(await self.parts.rows.run(partial(reader.readable, work)))


class AuditSearch(LeanView):
    """POST `{text, filters}`: queues a search for a text, 202 with the job."""

    needs = ("audit",)
    http_method_names = ["post"]

    async def post(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        body = schemas.fields(self.body(), SearchBody)
        arguments = auditing.search_arguments(body.text, body.filters.filters())
        return self.json(await self.parts.rows.run(partial(_queued, request_search, self.principal, arguments)), 202)


class AuditExports(LeanView):
    """POST `{format, filters}`: queues an export to object storage, 202 with the job."""

    needs = ("audit",)
    http_method_names = ["post"]

    async def post(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        body = schemas.fields(self.body(), ExportBody)
        arguments = auditing.export_arguments(body.format, body.filters.filters())
        return self.json(await self.parts.rows.run(partial(_queued, request_export, self.principal, arguments)), 202)


def allowed(principal: Principal, filters: Filters) -> Filters | None:
    """The filters of what this caller may list; None: that is nothing."""
    if "audit" in principal.scopes:
        return filters
    own = {"key_id": principal.key_id} if principal.kind == "key" else {"user": principal.user}
    for name, value in own.items():
        if getattr(filters, name) not in (None, value):
            return None
    return msgspec.structs.replace(filters, **own)


def _queued(ask: Callable[..., Any], principal: Principal, arguments: Json) -> JobAnswer:
    tenant = Tenant.objects.get(pk=principal.tenant_id)
    return answer(ask(arguments=arguments, tenant=tenant, created_by=principal.subject))


def _line(turn: listing.TurnSummary) -> AuditLine:
    return AuditLine(
        id=turn.turn_id,
        at=turn.at,
        user=turn.user,
        key=turn.key_id,
        session=turn.session_id,
        edge=turn.edge,
        model=turn.model,
        answered_by=turn.answered_by,
        instance=turn.instance,
        state=turn.state,
        ended=turn.ended,
        verdicts=turn.verdicts,
    )


def _checkpoints(tenant_id: int) -> CheckpointPage:
    with tree_database() as alias:
        found = checkpoints.heads(tenant_id, alias)
    return CheckpointPage([msgspec.convert(each, CheckpointLine) for each in found], platform_signer().public_key())


def _change(change: Change) -> ChangeLine:
    told = msgspec.structs.asdict(change)
    del told["tenant_id"]
    return ChangeLine(id=told.pop("turn_id"), **told)


def moment_of(value: float | str | None, field: str) -> float | None:
    if value is None:
        return None
    if value == "":
        raise InvalidRequest(f"{field} is empty.", param=field)
    return seconds(value, field)
