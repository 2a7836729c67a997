"""`/api/sessions/{session_id}/…`: what a session was, names for that, and the ways back."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType
from rest_framework.request import Request

from access import schemas
from access.lean import JsonReply
from access.management.routes import count
from access.management.sessions import PAGE, SessionView, known_form, page_limit
from access.schemas import SessionId, SessionVersion
from engine.errors import InvalidRequest, VersionNotFound
from engine.types import ChatRequest, Json

MAX_TAGS: Final = 16

SnapshotName = Annotated[str, Meta(max_length=100, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
Tag = Annotated[str, Meta(min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
Tags = Annotated[list[Tag], Meta(max_length=MAX_TAGS)]
SnapshotId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]

_NUMBER: Final = re.compile(r"[1-9][0-9]{0,14}\Z")
_SNAPSHOT: Final = re.compile(r"[0-9a-f]{32}\Z")


class SnapshotBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    name: SnapshotName = ""
    tags: Tags = []


class SnapshotPatch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is absent stays; `tags` are all of them."""

    name: SnapshotName | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET


class RestoreBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`version` or `snapshot`; 0: as it was before its first turn. With `if_version` only if the session is at that
    version."""

    version: Annotated[int, Meta(ge=0, le=10**15 - 1)] | None = None
    snapshot: SnapshotId | None = None
    if_version: SessionVersion | None = None


class BranchBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`version`, `snapshot`, or neither: as the session is now. `session_id` is the new session's; unless told it gets
    one."""

    version: SessionVersion | None = None
    snapshot: SnapshotId | None = None
    session_id: SessionId | None = None


class SnapshotAnswer(msgspec.Struct, kw_only=True):
    """A name for a version. `at` is in Unix seconds; `automatic`: nobody asked for it."""

    id: str
    version: int
    name: str
    tags: list[str]
    at: float
    automatic: bool


class SnapshotPage(msgspec.Struct):
    """`next_cursor` is the `cursor` of the following page; null: this was the last."""

    snapshots: list[SnapshotAnswer]
    next_cursor: str | None = None


class VersionLine(msgspec.Struct, kw_only=True):
    """What made a version: a `turn` with so many `messages`, or what `by` did: `patched` (`changed` says what),
    `restored` and `branched` (`of` says from which version), `summarised`, `unsummarised`, `withdrawn`. Not `readable`:
    entries it rests upon are no longer kept."""

    version: int
    at: float
    action: str
    turn_id: str
    readable: bool
    messages: int = 0
    by: str = ""
    of: Json = {}
    changed: list[str] = []


class SessionVersionPage(msgspec.Struct):
    """`next` is the `before` of the following page; null: this was the last."""

    versions: list[VersionLine]
    next: int | None = None


class MessageDifference(msgspec.Struct):
    """Messages with their `place` `[turn, message]`; at most 200 each way, and how many there are."""

    kept: int
    removed: list[Json]
    added: list[Json]
    removed_total: int
    added_total: int


class SessionDifference(msgspec.Struct, kw_only=True, rename={"origin": "from"}):
    """What the version `to` has that `from` had not, and the other way round. `system` `{before, after}`,
    `user_profile` `{added, removed, changed}` and `settings` hold what differs."""

    session_id: str
    origin: int
    to: int
    messages: MessageDifference
    system: Json
    user_profile: Json
    settings: Json


class PlacesView(SessionView):
    """What reads a session's past, counts or writes all of it counts against the tenant's limits like a turn."""

    async def count(self) -> None:
        await count(self.parts, self.principal, ChatRequest(messages=[]))


class Snapshots(SessionView):
    """GET `?limit=&cursor=`: the newest first. POST `{name?, tags?}`: of the session as it is now."""

    http_method_names = ["get", "post"]

    async def get(self, request: Request, session_id: str, **kwargs: Any) -> JsonReply:
        limit, cursor = page_limit(request.GET.get("limit", str(PAGE))), request.GET.get("cursor")
        return self.json(await self.parts.snapshots.list(self.owner, known_form(session_id), limit, cursor))

    async def post(self, request: Request, session_id: str, **kwargs: Any) -> JsonReply:
        body = schemas.fields(self.body() if self.lean_request.body else {}, SnapshotBody)
        made = await self.parts.snapshots.make(self.owner, known_form(session_id), body.name, body.tags)
        return self.json(made, status=201)


class SnapshotDetail(SessionView):
    """GET, PATCH `{name?, tags?}`."""

    http_method_names = ["get", "patch"]

    async def get(self, request: Request, session_id: str, snapshot: str, **kwargs: Any) -> JsonReply:
        return self.json(await self.parts.snapshots.read(self.owner, known_form(session_id), snapshot))

    async def patch(self, request: Request, session_id: str, snapshot: str, **kwargs: Any) -> JsonReply:
        changes = msgspec.to_builtins(schemas.fields(self.body(), SnapshotPatch))
        return self.json(await self.parts.snapshots.change(self.owner, known_form(session_id), snapshot, changes))


class SessionVersions(PlacesView):
    """GET `?limit=&before=`: what made the session's versions, the newest first."""

    http_method_names = ["get"]

    async def get(self, request: Request, session_id: str, **kwargs: Any) -> JsonReply:
        limit, before = page_limit(request.GET.get("limit", str(PAGE))), request.GET.get("before")
        if before is not None and not _NUMBER.match(before):
            raise InvalidRequest("before must be a version.", param="before")
        owner, known = self.owner, known_form(session_id)
        await self.count()
        found = await self.parts.versions.list(owner, known, limit, int(before) if before is not None else None)
        return self.json(found)


class SessionVersionDetail(PlacesView):
    """GET: the session as it was at a version, or at a snapshot by its id."""

    http_method_names = ["get"]

    async def get(self, request: Request, session_id: str, version: str, **kwargs: Any) -> JsonReply:
        owner, known = self.owner, known_form(session_id)
        await self.count()
        return self.json(await self.parts.versions.read(owner, known, _place(version)))


class SessionDiff(PlacesView):
    """GET `?from=&to=`: versions, or snapshots by their ids; `to` is the session as it is now unless told."""

    http_method_names = ["get"]

    async def get(self, request: Request, session_id: str, **kwargs: Any) -> JsonReply:
        before, after = (_queried(request, name) for name in ("from", "to"))
        if before is None:
            raise InvalidRequest("from is missing.", param="from")
        owner, known = self.owner, known_form(session_id)
        await self.count()
        return self.json(await self.parts.versions.diff(owner, known, before, after))


class SessionRestore(PlacesView):
    """POST `{version or snapshot, if_version?}`: a new version with that content."""

    http_method_names = ["post"]

    async def post(self, request: Request, session_id: str, **kwargs: Any) -> JsonReply:
        body = schemas.fields(self.body(), RestoreBody)
        place = _chosen(body.version, body.snapshot)
        if place is None:
            raise InvalidRequest("Give either version or snapshot.", param="version")
        owner, known = self.owner, known_form(session_id)
        await self.count()
        return self.json(await self.parts.versions.restore(owner, known, place, body.if_version))


class SessionBranch(PlacesView):
    """POST `{version or snapshot?, session_id?}`: a new session that begins with that content."""

    http_method_names = ["post"]

    async def post(self, request: Request, session_id: str, **kwargs: Any) -> JsonReply:
        body = schemas.fields(self.body() if self.lean_request.body else {}, BranchBody)
        place = _chosen(body.version, body.snapshot)
        owner, known = self.owner, known_form(session_id)
        await self.count()
        made = await self.parts.versions.branch(owner, known, place, body.session_id)
        return self.json(made, status=201)


def _chosen(version: int | None, snapshot: str | None) -> int | str | None:
    if version is not None and snapshot is not None:
        raise InvalidRequest("Give either version or snapshot.", param="version")
    return snapshot if version is None else version


def _place(text: str) -> int | str:
    """No session has another form of them, so there is nothing to look for."""
    if _NUMBER.match(text):
        return int(text)
    if _SNAPSHOT.match(text):
        return text
    raise VersionNotFound


def _queried(request: Request, name: str) -> int | str | None:
    text = request.GET.get(name)
    if text is None:
        return None
    try:
        return _place(text)
    except VersionNotFound:
        raise InvalidRequest(f"{name} must be a version, or a snapshot's id.", param=name) from None
