"""Everything of a tenant in one archive (ZIP): its rows, its people, its conversations and its journal, for people and
programs to read. Secrets are not in it, of keys only what tells them apart."""

from __future__ import annotations

import base64
import logging
import tempfile
import time
import zipfile
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import IO, Any, Final

import msgspec
from django.core.files import File
from django.core.files.storage import default_storage
from django.db import models

from access import audit_files
from access.job_running import Abandoned, TookTooLong, told_how_it_ends
from access.offboarding import belongings
from compliance.journal import changes, listing, reader
from compliance.journal.listing import Filters
from compliance.sealing.opening import Opener
from plugins.models import TrainedIntents
from sessions_app import shelf
from sessions_app.models import ArchivedSession
from tenants import jobs
from tenants.changes import public_values
from tenants.models import Job, Member, Tenant, TenantKey

log = logging.getLogger(__name__)

KIND: Final = "export_tenant"
LIMIT: Final = 6 * 3600.0  # seconds
LEFT_OUT: Final = (TenantKey, Job, ArchivedSession, TrainedIntents)  # keys, what only points at objects, what follows
README: Final = """Everything of the tenant {name} ({slug}).

tenant.json          the tenant's own settings
members.json         who is a member, with name, address and role
rows/*.jsonl         the rows of each table, a line each; secrets are shown as ***
journal.jsonl        every turn: what was asked and answered, a line each, as in exports of the journal
sessions.jsonl       which sessions there are in the archive; what was said in them is in journal.jsonl
changes.jsonl        every change of configuration
"""


def run(job_id: int) -> None:
    """Does a queued export, or one whose worker died; safe to repeat."""
    job = Job.objects.everywhere().select_related("tenant").filter(pk=job_id, kind=KIND).first()
    if job is None or job.tenant is None or not jobs.start_job(job_id=job_id):
        return
    failed = "The export failed. The platform's log says why."
    with told_how_it_ends(job_id, limit=LIMIT, shorter="Export the journal by parts.", failed=failed):
        with tempfile.TemporaryFile() as file:
            write(job.tenant, file, _progress(job_id))
            file.seek(0)
            stored = default_storage.save(f"jobs/{job.pk}.zip", File(file))
        if not jobs.finish_job(job_id=job.pk, result_name=stored):
            default_storage.delete(stored)


def write(tenant: Tenant, file: IO[bytes], tell: Any = lambda: None) -> None:
    """`tell` is called now and then, and may raise."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.txt", README.format(name=tenant.name, slug=tenant.slug))
        archive.writestr("tenant.json", _json(public_values(tenant)))
        archive.writestr("members.json", _json(_members(tenant)))
        for model in belongings.tables():
            if model not in LEFT_OUT:
                _lines(archive, f"rows/{model._meta.label_lower}.jsonl", _rows(model, tenant.pk), tell)
        _lines(archive, "sessions.jsonl", _sessions(tenant.pk), tell)
        _lines(archive, "journal.jsonl", _turns(tenant.pk), tell)
        _lines(archive, "changes.jsonl", _changes(tenant.pk), tell)


def _progress(job_id: int) -> Any:
    end = time.monotonic() + LIMIT

    def tell() -> None:
        if time.monotonic() > end:
            raise TookTooLong
        if not jobs.report_progress(job_id=job_id, percent=50):
            raise Abandoned

    return tell


def _lines(archive: zipfile.ZipFile, name: str, lines: Iterable[bytes], tell: Any) -> None:
    with archive.open(name, "w", force_zip64=True) as file:
        for number, line in enumerate(lines):
            file.write(line)
            if number % 1000 == 0:
                tell()


def _members(tenant: Tenant) -> list[dict[str, Any]]:
    members = Member.objects.for_tenant(tenant.pk).select_related("user").order_by("pk")
    return [
        {
            "id": member.pk,
            "username": member.user.get_username(),
            "name": member.user.get_full_name(),
            "email": member.user.email,
            "role": member.role,
            "is_active": member.is_active,
            "created_at": member.created_at,
        }
        for member in members
    ]


def _rows(model: type[models.Model], tenant_id: int) -> Iterator[bytes]:
    sealed: Iterable[str] = getattr(model, "sealed_fields", ())
    for row in belongings.rows(model, tenant_id).order_by("pk").iterator(chunk_size=500):
        values = public_values(row)
        yield _json({name: "***" if name in sealed and value else value for name, value in values.items()}) + b"\n"


def _sessions(tenant_id: int) -> Iterator[bytes]:
    for row in shelf.rows_of(tenant_id).filter(expired_at=None).order_by("pk").iterator(chunk_size=500):
        yield (
            _json({"session_id": row.session_id, "version": row.version, "last_active": row.last_active / 1e6}) + b"\n"
        )


def _turns(tenant_id: int) -> Iterator[bytes]:
    opener = Opener()
    for turns, _ in listing.every(tenant_id, Filters(until=time.time()), newest_first=False):
        for entries in turns:
            try:
                record = reader.record_of(entries[0].turn_id, entries, opener)
            except msgspec.MsgspecError:
                record = None
            yield audit_files.json_line(entries, record)


def _changes(tenant_id: int) -> Iterator[bytes]:
    before: str | None = None
    while True:
        page = changes.page(tenant_id, changes.ChangeFilters(), before=before, limit=200)
        yield from (msgspec.json.encode(change) + b"\n" for change in page.changes)
        if page.next is None:
            return
        before = page.next


def _json(value: Any) -> bytes:
    return msgspec.json.encode(value, enc_hook=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return base64.b64encode(bytes(value)).decode()
    return str(value) if not isinstance(value, Decimal) else format(value, "f")
