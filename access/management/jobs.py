"""`/api/jobs`: a tenant's background work, how far it is, and what came of it. Searches and exports of the journal are
shown to who may read it (scope `audit`), all other work to who manages the tenant; dry runs, which show what was said,
to who may do both."""

from __future__ import annotations

import logging
import re
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec
from django.core.exceptions import SuspiciousFileOperation
from django.core.files import File
from django.core.files.storage import default_storage
from rest_framework.request import Request

from access import auditing, dry_running
from access.asgi import Send
from access.disconnects import Watcher
from access.lean import JsonReply
from access.management.rows import Rows
from access.views import LeanView
from engine.errors import EngineError, NotFound, StoreUnavailable
from engine.types import Principal
from tenants.models import Job
from tenants.scoping import ScopedQuerySet

log = logging.getLogger(__name__)

LISTED: Final = 50
PIECE: Final = 64 * 1024
CONTENT_TYPES: Final = {"json": "application/json", "jsonl": "application/x-ndjson", "csv": "text/csv; charset=utf-8",
                        "yaml": "application/yaml"}  # fmt: skip

_JOB_ID = re.compile(r"[1-9][0-9]{0,17}\Z")


class JobAnswer(msgspec.Struct, kw_only=True):
    """`state` is `queued`, `running`, `done` or `failed`, `progress` percent; times are in Unix seconds. `result_url`
    once there is a result, `error` where it failed."""

    id: int
    kind: str
    state: str
    progress: int
    result_url: str | None = None
    error: str | None = None
    created_at: float
    finished_at: float | None = None


class JobPage(msgspec.Struct):
    """The last 50, newest first."""

    jobs: list[JobAnswer]


class JobList(LeanView):
    """GET: the tenant's last jobs."""

    needs = ("manage", "audit")
    http_method_names = ["get"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        return self.json(JobPage(await self.parts.rows.run(partial(listed, self.principal))))


class JobDetail(LeanView):
    """GET: one job. Those of other tenants and of the platform are the same 404 as unknown ones."""

    needs = ("manage", "audit")
    http_method_names = ["get"]

    async def get(self, request: Request, job_id: str, **kwargs: Any) -> JsonReply:
        job = await self.parts.rows.run(partial(found, self.principal, _known_form(job_id)))
        return self.json(answer(job))


class JobResult(LeanView):
    """GET: the JSON a job left; 404 until there is one."""

    needs = ("manage", "audit")
    http_method_names = ["get"]

    async def get(self, request: Request, job_id: str, **kwargs: Any) -> StoredResult:
        number = _known_form(job_id)
        return StoredResult(self.parts.rows, await self.parts.rows.run(partial(result, self.principal, number)))


class Stored(NamedTuple):
    """An opened object of the storage."""

    file: File[bytes]
    size: int
    content_type: str = "application/json"


class StoredResult:
    """An answer that is read from the object storage while it is sent, a piece at a time. A storage that fails on the
    way ends it too short for its length, which is all that can be said by then."""

    def __init__(self, rows: Rows, stored: Stored) -> None:
        self._rows = rows
        self._stored = stored

    async def deliver(self, request_id: str, send: Send, watcher: Watcher) -> None:
        try:
            piece = await self._read(self._stored.size)
            headers = [
                (b"content-type", self._stored.content_type.encode("ascii")),
                (b"content-length", str(self._stored.size).encode("ascii")),
                (b"cache-control", b"no-store"),
                (b"x-request-id", request_id.encode("ascii")),
            ]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await self._send(piece, send, watcher)
        finally:
            await self._rows.run(self._stored.file.close)

    async def _send(self, piece: bytes, send: Send, watcher: Watcher) -> None:
        left = self._stored.size
        try:
            while left := left - len(piece):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                piece = await self._read(left)
        except EngineError as error:
            log.error("a result ends early, %d bytes are missing: %s", left, error)
            return
        watcher.close()
        await send({"type": "http.response.body", "body": piece})

    async def _read(self, left: int) -> bytes:
        return await self._rows.run(partial(_piece, self._stored.file, min(left, PIECE)))


def listed(principal: Principal) -> list[JobAnswer]:
    return [answer(job) for job in visible(principal).order_by("-id")[:LISTED]]


def visible(principal: Principal) -> ScopedQuerySet[Job]:
    """The jobs of the tenant that this caller may see."""
    mine = Job.objects.for_tenant(principal.tenant_id)
    if "audit" not in principal.scopes:
        return mine.exclude(kind__in=(*auditing.KINDS, dry_running.KIND))
    return mine if "manage" in principal.scopes else mine.filter(kind__in=auditing.KINDS)


def found(principal: Principal, job_id: int) -> Job:
    """Raises NotFound."""
    job = visible(principal).filter(pk=job_id).first()
    if job is None:
        raise NotFound("There is no such job.")
    return job


def answer(job: Job) -> JobAnswer:
    return JobAnswer(
        id=job.pk,
        kind=job.kind,
        state=job.state,
        progress=job.progress,
        result_url=f"/api/jobs/{job.pk}/result" if _has_result(job) else None,
        error=job.error or None,
        created_at=job.created_at.timestamp(),
        finished_at=_seconds(job.finished_at),
    )


def result(principal: Principal, job_id: int) -> Stored:
    """Raises NotFound, StoreUnavailable."""
    job = found(principal, job_id)
    try:
        if _has_result(job):
            file = default_storage.open(job.result_name)
            return Stored(file, file.size, content_type(job.result_name))
    except (FileNotFoundError, SuspiciousFileOperation):
        pass
    except OSError as error:
        raise StoreUnavailable() from error
    raise NotFound("This job has no result.")


def content_type(name: str) -> str:
    """Of an object that holds a result."""
    return CONTENT_TYPES.get(name.rpartition(".")[2], "application/octet-stream")


def _has_result(job: Job) -> bool:
    return job.state == Job.State.DONE and job.result_name != ""


def _piece(stored: File[bytes], size: int) -> bytes:
    """Exactly so many bytes. Raises StoreUnavailable."""
    try:
        piece: bytes = stored.read(size)
    except OSError as error:
        raise StoreUnavailable() from error
    if len(piece) < size:
        raise StoreUnavailable("The result is not whole.")
    return piece


def _seconds(time: datetime | None) -> float | None:
    return time.timestamp() if time is not None else None


def _known_form(job_id: str) -> int:
    """No job has another form of id, so there is nothing to look for."""
    if not _JOB_ID.match(job_id):
        raise NotFound("There is no such job.")
    return int(job_id)
