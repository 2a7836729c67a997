"""Exports a tenant takes home beside its journal: usage as CSV, sessions as JSON lines, configuration as YAML.

Each is a job that leaves a file in object storage, or the reason it failed."""

from __future__ import annotations

import asyncio
import csv
import io
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import IO, Any, Final

import msgspec
from django.conf import settings
from django.core.files import File
from django.core.files.storage import default_storage

from access.audit_files import FORMULA
from access.job_running import Abandoned, TookTooLong, told_how_it_ends
from compliance.sealing.vault import SubjectVault
from compliance.usage import reader as usage
from engine import pricing
from engine.errors import EngineError, InvalidRequest
from engine.snapshots import Cell
from engine.types import Json
from routing import configuration
from sessions_app import records
from sessions_app.layout import Home
from sessions_app.shelf import Shelf, rows_of
from sessions_app.sweeping import read_all
from tenants import jobs
from tenants.directory import compile_tenants
from tenants.isolation import Stores
from tenants.models import Job, Tenant

USAGE: Final = "usage_export"
SESSIONS: Final = "sessions_export"
CONFIGURATION: Final = "configuration_export"
KINDS: Final = (USAGE, SESSIONS, CONFIGURATION)
ENDINGS: Final = {USAGE: "csv", SESSIONS: "jsonl", CONFIGURATION: "yaml"}
BY: Final = ("model", "key", "member", "instance", "edge", "hour")
FOLDER: Final = "tenant-exports"
LIMIT: Final = 1_800.0  # seconds a job may take
STEP: Final = 50  # sessions between two looks at the time
LONGEST: Final = 366 * 86_400.0
TALLIES: Final = ("completed", "refused", "failed", "cancelled", "aborted", "prompt_tokens", "completion_tokens",
                  "cached_tokens", "reasoning_tokens")  # fmt: skip

_encode = msgspec.json.Encoder().encode


def usage_arguments(by: str, since: float, until: float) -> Json:
    """Raises InvalidRequest."""
    if by not in BY:
        raise InvalidRequest("by is model, key, member, instance, edge or hour.", param="by")
    if since >= until:
        raise InvalidRequest("from must be before to.", param="from")
    if until - since > LONGEST:
        raise InvalidRequest(f"At most {LONGEST / 86_400:.0f} days at once.", param="from")
    return {"by": by, "since": since, "until": until}


def run(job_id: int) -> None:
    """Does a queued export, or one whose worker died; safe to repeat, also at the same time."""
    job = Job.objects.everywhere().select_related("tenant").filter(pk=job_id, kind__in=KINDS).first()
    if job is None or job.tenant is None or not jobs.start_job(job_id=job_id):
        return
    shorter, failed = "Ask for less at once.", "It failed. The platform's log says why."
    with told_how_it_ends(job_id, limit=LIMIT, shorter=shorter, failed=failed), tempfile.TemporaryFile() as file:
        try:
            _WRITERS[job.kind](job, job.tenant, file)
        except EngineError as error:
            jobs.fail_job(job_id=job_id, error=error.message)
            return
        file.seek(0)
        stored = default_storage.save(f"{FOLDER}/{job.pk}.{ENDINGS[job.kind]}", File(file))
        if not jobs.finish_job(job_id=job.pk, result_name=stored):
            kept: Any = Job.objects.everywhere().filter(pk=job.pk).values_list("result_name", flat=True).first()
            if kept != stored:
                default_storage.delete(stored)


def cell(value: object) -> str:
    """As a spreadsheet is to show it, and never to compute it."""
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


# Usage ------------------------------------------------------------------------------------------------------------


def _usage(job: Job, tenant: Tenant, file: IO[bytes]) -> None:
    asked = job.arguments
    whose, period = usage.Whose(tenant.pk), usage.Period(asked["since"], asked["until"])
    if asked["by"] == "hour":
        hours = sorted(usage.hourly(whose, period).items())
        lines = [(datetime.fromtimestamp(hour * usage.HOUR, UTC).isoformat(), sums) for hour, sums in hours]
    else:
        lines = [(str(line.what), line.sums) for line in usage.totals(whose, period, asked["by"])]
    text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
    try:
        table = csv.writer(text, lineterminator="\r\n")
        table.writerow([asked["by"], "turns", *TALLIES, "cost"])
        for what, sums in lines:
            tallies = [getattr(sums, name) for name in TALLIES]
            table.writerow([cell(what), sums.turns, *tallies, f"{sums.cost / pricing.UNIT:.6f}"])
    finally:
        text.detach()


# Configuration ----------------------------------------------------------------------------------------------------


def _configuration(job: Job, tenant: Tenant, file: IO[bytes]) -> None:
    """What `dumpconfig --tenant` writes: no secret is in it."""
    file.write(configuration.dump(tenant=tenant).encode())


# Sessions ---------------------------------------------------------------------------------------------------------


def _sessions(job: Job, tenant: Tenant, file: IO[bytes]) -> None:
    """A session a line: those in the store, then the archived ones that are not."""
    asyncio.run(_write_sessions(job, tenant, file))


async def _write_sessions(job: Job, tenant: Tenant, file: IO[bytes]) -> None:
    tenants = Cell(await asyncio.to_thread(compile_tenants))
    stores, end = Stores(settings.VALKEY_NODES, tenants), time.monotonic() + LIMIT
    written: set[tuple[str, str]] = set()
    archived = await asyncio.to_thread(rows_of(tenant.pk).filter(expired_at=None).count)
    try:
        async for user, session_id, line in _lines(stores, tenant, written):
            file.write(_encode({"user": user, **line}) + b"\n")
            written.add((user, session_id))
            if len(written) % STEP == 0:
                percent = 100 * len(written) / (len(written) + archived + 1)
                if time.monotonic() > end:
                    raise TookTooLong
                if not await asyncio.to_thread(_report, job.pk, percent):
                    raise Abandoned
    finally:
        await stores.close()


def _report(job_id: int, percent: float) -> bool:
    return jobs.report_progress(job_id=job_id, percent=percent)


async def _lines(stores: Stores, tenant: Tenant, written: set[tuple[str, str]]) -> AsyncIterator[tuple[str, str, Json]]:
    async for found in read_all(stores.tenant(tenant.pk), tenant.pk):
        idle = found.idle()
        yield idle.user, idle.session_id, {**records.whole(idle.session_id, idle.record), "state": "live"}
    shelf, below = Shelf(SubjectVault()), None
    while True:
        page = await asyncio.to_thread(_page, shelf, tenant.pk, below)
        for number, user, session_id in page:
            below = number
            if user and (user, session_id) not in written:
                base = await asyncio.to_thread(shelf.get, Home(tenant.pk, user), session_id)
                if base is not None and base.record is not None:
                    yield user, session_id, {**records.whole(session_id, base.record), "state": "archived"}
        if not page:
            return


def _page(shelf: Shelf, tenant_id: int, below: int | None) -> list[tuple[int, str, str]]:
    """Rows of the archive, the newest first: their numbers, users (empty: erased) and sessions."""
    rows = rows_of(tenant_id).filter(expired_at=None).order_by("-pk")
    some = list((rows.filter(pk__lt=below) if below is not None else rows)[:STEP])
    found = []
    for row in some:
        lines = shelf.lines([row])
        found.append((row.pk, lines[0].user if lines else "", row.session_id))
    return found


_WRITERS: Final[dict[str, Callable[[Job, Tenant, IO[bytes]], None]]] = {
    USAGE: _usage,
    SESSIONS: _sessions,
    CONFIGURATION: _configuration,
}
