"""Searches and exports of the journal: background work that reads many turns, and leaves a file."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from typing import IO, Any, Final

import msgspec
from django.core.files import File
from django.core.files.storage import default_storage

from access import audit_files
from access.job_running import Abandoned, TookTooLong, told_how_it_ends
from compliance.changes import PLATFORM
from compliance.journal import listing, reader
from compliance.journal.listing import Filters
from compliance.models import AuditEntry
from compliance.sealing.opening import Opener
from compliance.tree import checkpoints, exporting
from compliance.tree.database import tree_database
from engine.errors import InvalidRequest
from engine.types import Json
from tenants import jobs
from tenants.models import Job

SEARCH: Final = "audit_search"
EXPORT: Final = "audit_export"
KINDS: Final = (SEARCH, EXPORT)
FORMATS: Final = ("jsonl", "csv", "verifiable")
ENDINGS: Final = {"verifiable": "jsonl"}  # of files, where they are not the format's name
MOST_FOUND: Final = 1_000
LIMIT: Final = 1_800.0  # seconds a job may take
STEP: Final = 1_000  # lines between two looks at the time
ASKED_AS: Final = {"since": "from", "until": "to", "key_id": "key", "session_id": "session", "word_list": "list"}
FOLDERS: Final = {SEARCH: "audit-searches", EXPORT: "audit-exports"}

Turns = Iterator[list[AuditEntry]]


class NotYet(Exception):
    """What was asked for cannot be had yet; the text says why."""


def search_arguments(text: str, filters: Filters) -> Json:
    """What a job keeps of the question."""
    return {"text": text, "filters": msgspec.to_builtins(_ended(filters))}


def export_arguments(form: str, filters: Filters) -> Json:
    """`verifiable` is a tree's leaves from one place to another, without gaps: only the time can be chosen. Raises
    InvalidRequest."""
    timed = Filters(since=filters.since, until=filters.until)
    if form == "verifiable" and filters != timed:
        raise InvalidRequest("An export that can be verified takes from and to only.", param="filters")
    return {"format": form, "filters": msgspec.to_builtins(_ended(filters))}


def without_words(arguments: Json) -> Json:
    """The question without what names people or repeats what they said."""
    kept = {name: value for name, value in arguments.get("filters", {}).items() if name not in ("user", "session_id")}
    return {**arguments, "filters": kept, **({"text": ""} if "text" in arguments else {})}


def filters_of(job: Job) -> Filters:
    return msgspec.convert(job.arguments["filters"], Filters)


def run(job_id: int) -> None:
    """Does a queued search or export, or one whose worker died; safe to repeat, also at the same time. Leaves a file in
    object storage, or the reason it failed."""
    job = Job.objects.everywhere().filter(pk=job_id, kind__in=KINDS).first()
    if job is None or not jobs.start_job(job_id=job_id):
        return
    shorter, failed = "Ask for a shorter time, or filter more.", "It failed. The platform's log says why."
    with told_how_it_ends(job_id, limit=LIMIT, shorter=shorter, failed=failed):
        try:
            _finish(job)
        except NotYet as reason:
            jobs.fail_job(job_id=job_id, error=str(reason))


def _ended(filters: Filters) -> Filters:
    """Turns that begin while the job runs are not its business, or it might never end."""
    now = time.time()
    return msgspec.structs.replace(filters, until=min(filters.until or now, now))


def _finish(job: Job) -> None:
    """Of two that did the same job the first one's word counts; what the other stored goes again."""
    form = "json" if job.kind == SEARCH else job.arguments["format"]
    ending = ENDINGS.get(form, form)
    with tempfile.TemporaryFile() as file:
        if form == "verifiable":
            _export_tree(job, file)
        else:
            write = _search if job.kind == SEARCH else _export
            write(job, _turns(job), file)
        file.seek(0)
        stored = default_storage.save(f"{FOLDERS[job.kind]}/{job.pk}.{ending}", File(file))
    if not jobs.finish_job(job_id=job.pk, result_name=stored):
        kept: Any = Job.objects.everywhere().filter(pk=job.pk).values_list("result_name", flat=True).first()
        if kept != stored:
            default_storage.delete(stored)


def _turns(job: Job) -> Turns:
    """The entries of every turn the job is about: an export's oldest first, a search's newest first."""
    filters, newest_first = filters_of(job), job.kind == SEARCH
    start, told, end = None, -1, time.monotonic() + LIMIT
    for turns, last in listing.every(job.tenant_id, filters, newest_first=newest_first):
        yield from turns
        if time.monotonic() > end:
            raise TookTooLong
        at = listing.time_of(last) if last else 0.0
        start = at if start is None else start
        percent = int(_share(start, at, filters, newest_first=newest_first))
        if percent != told and not jobs.report_progress(job_id=job.pk, percent=percent):
            raise Abandoned
        told = percent


def _share(start: float, at: float, filters: Filters, *, newest_first: bool) -> float:
    """How much of the time is done: turns are not counted before. A search of all time has no end to be told by."""
    origin = start if filters.since is None else filters.since
    end = filters.until or at
    if newest_first:
        return 100 * (end - at) / max(end - origin, 1e-9) if filters.since is not None else 0.0
    return 100 * (at - origin) / max(end - origin, 1e-9)


def _search(job: Job, turns: Turns, file: IO[bytes]) -> None:
    found: list[audit_files.Hit] = []
    seek, read, unreadable, reached = audit_files.seeker(job.arguments["text"]), 0, 0, None
    opener = Opener()
    for entries in turns:
        read, reached = read + 1, entries[0].at
        record = _record(entries, opener)
        if record is None or record.erased or record.unreadable:
            unreadable += 1
        elif (hit := seek(record)) is not None:
            found.append(hit)
            if len(found) == MOST_FOUND:
                break
    result = audit_files.SearchResult(
        text=job.arguments["text"],
        filters={ASKED_AS.get(name, name): value for name, value in job.arguments["filters"].items()},
        read=read,
        unreadable=unreadable,
        found=found,
        complete=len(found) < MOST_FOUND,
        reached=reached,
    )
    file.write(msgspec.json.encode(result))


def _export(job: Job, turns: Turns, file: IO[bytes]) -> None:
    line = audit_files.csv_line if job.arguments["format"] == "csv" else audit_files.json_line
    if job.arguments["format"] == "csv":
        file.write(audit_files.csv_head())
    opener = Opener()
    for entries in turns:
        file.write(line(entries, _record(entries, opener)))


def _export_tree(job: Job, file: IO[bytes]) -> None:
    """Whole seconds of the tenant's tree, as far as it is signed. Raises NotYet."""
    filters, end = filters_of(job), time.monotonic() + LIMIT
    with tree_database() as alias:
        tenant_id = job.tenant_id or PLATFORM
        first, last = exporting.positions(alias, tenant_id, filters.since, filters.until)
        first, last = (min(place, checkpoints.signed_size(alias, tenant_id)) for place in (first, last))
        try:
            for number, line in enumerate(exporting.export(alias, tenant_id, first, last)):
                file.write(line.encode() + b"\n")
                if number % STEP == 0:
                    if time.monotonic() > end:
                        raise TookTooLong
                    if not jobs.report_progress(job_id=job.pk, percent=100 * number / max(last - first, number, 1)):
                        raise Abandoned
        except exporting.NothingSigned as reason:
            raise NotYet(f"Nothing is signed yet: {reason}. Try again in a minute.") from None


def _record(entries: list[AuditEntry], opener: Opener) -> reader.TurnRecord | None:
    """None: it cannot be read."""
    try:
        return reader.record_of(entries[0].turn_id, entries, opener)
    except msgspec.MsgspecError:
        return None
