"""Dry runs: a plugin's hooks over turns of the journal, to see what they would change before anybody meets it.

Which turns, and the plugin with its settings, come in; what would change of each turn goes out (`docs/plugins.md`)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from access.job_running import Abandoned, TookTooLong, told_how_it_ends
from access.past_turns import has_no_plugins, history_of, principal_of, request_of
from compliance.journal import listing, reader
from compliance.journal.listing import Filters
from compliance.sealing.opening import Opener
from engine.errors import InvalidRequest
from engine.types import Json
from plugins import registry
from plugins.base import PluginBase
from plugins.models import PluginActivation
from plugins.rehearsal import HookFailed, PastTurn, Rehearsal, TurnReport, harmless
from tenants import jobs, secrets
from tenants.models import Job, Tenant

log = logging.getLogger(__name__)

KIND: Final = "dry_run_plugin"
AT_ONCE: Final = 50  # turns that are answered directly; more are a job
MOST: Final = 2_000
PATIENCE: Final = 15.0  # seconds of a direct answer: then it says how far it came
LIMIT: Final = 600.0  # seconds a job may take
LARGEST: Final = 32 * 2**20  # bytes of a report
PURPOSE: Final = "plugin dry run"

Progress = Callable[[int], None]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which turns: the newest `last`, of those that began from `since` to before `until` (Unix seconds) where these are
    given, or this one. `settings` None: the saved ones. `timeout` in seconds of a hook; None: the plugin's own."""

    plugin: str
    settings: Json | None = None
    last: int = 20
    since: float | None = None
    until: float | None = None
    turn_id: str | None = None
    timeout: float | None = None


class DryRunReport(msgspec.Struct, kw_only=True):
    """`turns` are newest first, `read` how many they are; `left_out` counts those not tried, by the reason `erased`,
    `unreadable` or `no_plugins` (embeddings and rounds, on which no plugin runs). `complete` is false where time or
    room ran out before all were tried. `changed`, `answered` and `asked` count turns that the plugin would change in
    any way, answer in the model's place, or have a further round in; `trouble` counts hooks that did not end well, by
    outcome. `seconds` are those of the slowest hook."""

    plugin: str
    read: int = 0
    left_out: dict[str, int] = {}
    complete: bool = True
    changed: int = 0
    answered: int = 0
    asked: int = 0
    trouble: dict[str, int] = {}
    seconds: float = 0.0
    turns: list[TurnReport] = []

    def add(self, turn: TurnReport) -> None:
        self.turns.append(turn)
        self.read += 1
        self.changed += turn.changes
        self.answered += turn.pre.answer is not None
        self.asked += turn.post.asked is not None
        for hook in (turn.pre, turn.post):
            self.seconds = max(self.seconds, hook.seconds)
            if hook.outcome in ("failed", "slow", "stuck"):
                self.trouble[hook.outcome] = self.trouble.get(hook.outcome, 0) + 1


def check_effects(wanted: Wanted, *, accepted: bool) -> None:
    """Raises InvalidRequest: there is no such plugin, or its hooks may have effects and that is not accepted."""
    if not accepted and not harmless(_class(wanted.plugin)):
        raise InvalidRequest(
            "This plugin does not say that a dry run of its hooks has no effect outside of their turns. Say `effects` "
            "to run them all the same.",
            param="effects",
        )


def check(wanted: Wanted, tenant_id: int) -> None:
    """Blocking. Raises InvalidRequest: the plugin cannot be made of these settings."""
    _made(wanted, tenant_id)


def report(
    wanted: Wanted, tenant: Tenant, *, patience: float = PATIENCE, progress: Progress | None = None
) -> DryRunReport:
    """Blocking. `progress` is told how many turns were read, and may raise to end it. Raises InvalidRequest (the plugin
    cannot be made or opened), django.db.DatabaseError and slots.NoSlot."""
    plugin, end, size = _made(wanted, tenant.pk), time.monotonic() + patience, 0
    told = DryRunReport(plugin=wanted.plugin)
    try:
        with Rehearsal(plugin, wanted.timeout) as rehearsal:
            for past in _turns(wanted, tenant, told):
                if time.monotonic() > end or size > LARGEST:
                    told.complete = False
                    break
                turn = rehearsal.turn(past)
                told.add(turn)
                size += len(msgspec.json.encode(turn))
                if progress is not None:
                    progress(told.read)
    except HookFailed as failed:
        raise InvalidRequest(f"It cannot be opened: {failed.error!r:.500}", param="settings") from failed.error
    return told


def arguments(wanted: Wanted, tenant_id: int) -> Json:
    """What a job keeps of the question; settings may hold passwords, so they are sealed."""
    kept: Json = msgspec.to_builtins(wanted)
    if wanted.settings is not None:
        plain = msgspec.json.encode(wanted.settings).decode()
        kept["settings"] = secrets.seal(plain, tenant_id=tenant_id, row_id=0, purpose=PURPOSE)
    return kept


def run(job_id: int) -> None:
    """Does a queued dry run, or one whose worker died; safe to repeat. Leaves the report as `dry-runs/<job id>.json`,
    or the reason it failed."""
    job = Job.objects.everywhere().select_related("tenant").filter(pk=job_id, kind=KIND).first()
    if job is None or job.tenant is None or not jobs.start_job(job_id=job_id):
        return
    shorter, failed = "Ask for fewer turns.", "The dry run failed. The platform's log says why."
    with told_how_it_ends(job_id, limit=LIMIT, shorter=shorter, failed=failed):
        try:
            _finish(job, _work(job, job.tenant))
        except (InvalidRequest, secrets.SealBroken) as error:
            jobs.fail_job(job_id=job_id, error=f"The plugin cannot be run: {error}")


def read(stored: bytes) -> DryRunReport:
    """A job's result. Raises msgspec.MsgspecError, which is a ValueError where it does not fit."""
    return msgspec.json.decode(stored, type=DryRunReport)


def _work(job: Job, tenant: Tenant) -> DryRunReport:
    asked = dict(job.arguments)
    if asked.get("settings") is not None:
        plain = secrets.open_sealed(asked["settings"], tenant_id=tenant.pk, row_id=0, purpose=PURPOSE)
        asked["settings"] = msgspec.json.decode(plain)
    wanted, told, end = msgspec.convert(asked, Wanted), -1, time.monotonic() + LIMIT

    def progress(read: int) -> None:
        nonlocal told
        if time.monotonic() > end:
            raise TookTooLong
        percent = int(100 * read / wanted.last)
        if percent != told and not jobs.report_progress(job_id=job.pk, percent=percent):
            raise Abandoned
        told = percent

    return report(wanted, tenant, patience=LIMIT, progress=progress)


def _finish(job: Job, found: DryRunReport) -> None:
    """Of two that did the same job the first one's word counts; what the other stored beside it goes again."""
    stored = default_storage.save(f"dry-runs/{job.pk}.json", ContentFile(msgspec.json.encode(found)))
    if not jobs.finish_job(job_id=job.pk, result_name=stored):
        kept: Any = Job.objects.everywhere().filter(pk=job.pk).values_list("result_name", flat=True).first()
        if kept != stored:
            default_storage.delete(stored)


def _class(name: str) -> registry.PluginClass:
    try:
        return registry.get(name)
    except registry.InvalidPlugin as error:
        raise InvalidRequest(str(error), param="plugin") from None


def _made(wanted: Wanted, tenant_id: int) -> PluginBase:
    """Raises InvalidRequest."""
    plugin, settings = _class(wanted.plugin), wanted.settings
    if settings is None:
        row = PluginActivation.objects.for_tenant(tenant_id).filter(plugin=wanted.plugin).first()
        settings = row.settings if row is not None else {}
    try:
        made = plugin(registry.read_settings(plugin, settings))
        made.gathered = plugin.gather(tenant_id)
        return made
    except registry.InvalidSettings as error:
        raise InvalidRequest(str(error), param="settings") from None
    except Exception as error:  # border: whatever somebody else's code raises over these settings
        log.info("plugin %s cannot be made for a dry run", wanted.plugin, exc_info=True)
        raise InvalidRequest(f"It cannot be made: {type(error).__name__}.", param="settings") from error


def _turns(wanted: Wanted, tenant: Tenant, told: DryRunReport) -> Iterator[PastTurn]:
    """Newest first; those that cannot be tried are counted."""
    filters = Filters(since=wanted.since, until=wanted.until or time.time(), begins=wanted.turn_id)
    opener, left = Opener(), 1 if wanted.turn_id else wanted.last
    for turns, _last in listing.every(tenant.pk, filters, newest_first=True):
        for entries in turns:
            if left == 0:
                return
            left -= 1
            try:
                record = reader.record_of(entries[0].turn_id, entries, opener)
            except msgspec.MsgspecError:
                record = None
            reason = _why_not(record)
            if reason or record is None:
                told.left_out[reason] = told.left_out.get(reason, 0) + 1
                continue
            yield PastTurn(
                principal=principal_of(record, tenant.slug),
                request=request_of(record),
                session_id=record.intent.session_id,
                history=history_of(record, opener),
                choices=record.sent,
                turn_id=record.turn_id,
                at=record.intent.at,
            )


def _why_not(record: reader.TurnRecord | None) -> str:
    if record is None or record.unreadable:
        return "unreadable"
    if record.erased:
        return "erased"
    return "no_plugins" if has_no_plugins(record) else ""
