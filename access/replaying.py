"""Replays recorded turns against rules that are not saved: the journal on one side, a routing table on the other."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from access.job_running import Abandoned, TookTooLong, told_how_it_ends
from compliance.journal import spans
from engine.errors import InvalidRequest
from engine.types import Json
from routing import proposals
from routing.models import RoutingRule
from routing.recorded import Asked, Ended
from routing.replay import Replay
from routing.reports import Report
from tenants import jobs
from tenants.models import Job, Tenant

KIND: Final = "replay_rules"
DAY: Final = 86_400.0
LONGEST: Final = 90 * DAY
EARLIEST: Final = 946_684_800.0  # the year 2000; what is less is no Unix time but a year or a day
LATEST: Final = 253_402_300_800.0  # the year 10000
UNIX_SECONDS: Final = re.compile(r"[0-9]{9,12}(?:\.[0-9]{1,9})?")
STEP: Final = 500  # turns between two looks at the progress
LIMIT: Final = 600.0  # seconds a job may take

Moment = str | float | None
Progress = Callable[[float], bool]


class Period(msgspec.Struct, frozen=True):
    """From `since` to before `until`, Unix seconds."""

    since: float
    until: float


def period(since: Moment = None, until: Moment = None) -> Period:
    """Each is in Unix seconds or ISO 8601 (UTC unless it says so); the last 24 hours unless told.

    Raises InvalidRequest."""
    now = time.time()
    end = min(now if until in (None, "") else seconds(until, "to"), now)
    start = end - DAY if since in (None, "") else seconds(since, "from")
    if start >= end:
        raise InvalidRequest("from must be before to, and in the past.", param="from")
    if end - start > LONGEST:
        raise InvalidRequest(f"At most {LONGEST / DAY:.0f} days can be replayed.", param="from")
    return Period(start, end)


def seconds(moment: Moment, field: str) -> float:
    """Unix seconds from what somebody wrote into this field. Raises InvalidRequest."""
    found = _read(moment.strip()) if isinstance(moment, str) else moment
    if found is None or not EARLIEST <= found < LATEST:
        raise InvalidRequest(
            f"{field}: expected ISO 8601 such as 2026-01-31T08:00:00Z or Unix seconds such as 1769846400, of the "
            "years 2000 to 9999.",
            param=field,
        )
    return found


def _read(text: str) -> float | None:
    """None: neither. Eight digits are a day."""
    if UNIX_SECONDS.fullmatch(text):
        return float(text)
    try:
        read = datetime.fromisoformat(text) if text.isascii() else None
    except ValueError:
        return None
    return (read if read.tzinfo is not None else read.replace(tzinfo=UTC)).timestamp() if read is not None else None


def replayed(
    rules: Sequence[RoutingRule], tenant_id: int | None, during: Period, *, progress: Progress = lambda percent: True
) -> Report:
    """What a scope's turns would have done under these rules in place of its own; those of all tenants where it is the
    platform (None). Blocking. `progress` is told percents now and then; once it says no, this raises Abandoned.

    Raises django.db.DatabaseError, slots.NoSlot: the journal or the configuration cannot be read."""
    replay = Replay(proposals.table_with(rules, tenant_id, timeout=settings.MODEL_TIMEOUT))
    tenants = [tenant_id] if tenant_id is not None else list(Tenant.objects.order_by("pk").values_list("pk", flat=True))
    total = sum(spans.count(each, during.since, during.until) for each in tenants)
    read = 0
    for each in tenants:
        for asked, ended in spans.turns(each, during.since, during.until, intent=Asked, completion=Ended):
            if read % STEP == 0 and not progress(100 * read / total):
                raise Abandoned
            replay.add(asked, ended)
            read += 1
    return replay.report()


def outcome(report: Report, tenant: Tenant | None, during: Period) -> Json:
    """The JSON of a whole replay (`docs/replay.md`)."""
    head = {"scope": "platform" if tenant is None else tenant.slug, "from": during.since, "to": during.until}
    found: Json = msgspec.to_builtins(report)
    return {**head, **found}


def arguments(rules: Sequence[RoutingRule], during: Period) -> Json:
    """What a job keeps of the question."""
    return {"rules": [proposals.fields_of(rule) for rule in rules], "from": during.since, "to": during.until}


def run(job_id: int) -> None:
    """Does a queued replay, or one whose worker died; safe to repeat, also at the same time. Leaves the result as
    `replays/<job id>.json`, or the reason it failed."""
    job = Job.objects.everywhere().select_related("tenant").filter(pk=job_id, kind=KIND).first()
    if job is None or not jobs.start_job(job_id=job_id):
        return
    shorter, failed = "Ask for a shorter period or fewer rules.", "The replay failed. The platform's log says why."
    with told_how_it_ends(job_id, limit=LIMIT, shorter=shorter, failed=failed):
        _finish(job, _work(job))


def _work(job: Job) -> Json:
    during = Period(job.arguments["from"], job.arguments["to"])
    rules = [RoutingRule(tenant_id=job.tenant_id, **fields) for fields in job.arguments["rules"]]
    told, end = -1, time.monotonic() + LIMIT

    def progress(percent: float) -> bool:
        nonlocal told
        if time.monotonic() > end:
            raise TookTooLong
        if int(percent) == told:
            return True
        told = int(percent)
        return jobs.report_progress(job_id=job.pk, percent=percent)

    return outcome(replayed(rules, job.tenant_id, during, progress=progress), job.tenant, during)


def _finish(job: Job, result: Json) -> None:
    """Of two that did the same job the first one's word counts; what the other stored beside it goes again."""
    name = f"replays/{job.pk}.json"
    if default_storage.exists(name):
        default_storage.delete(name)
    stored = default_storage.save(name, ContentFile(msgspec.json.encode(result)))
    if not jobs.finish_job(job_id=job.pk, result_name=stored):
        kept: Any = Job.objects.everywhere().filter(pk=job.pk).values_list("result_name", flat=True).first()
        if kept != stored:
            default_storage.delete(stored)
