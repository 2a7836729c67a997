"""Erases a user: everywhere at once what was said, but for the times and figures that no text is in.

The journal's entries stay and the keys to them go; sessions, kept answers and results of jobs are deleted; the store
writes its files anew. What was done is said in a signed certificate. See `docs/erasure.md`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import DatabaseError
from django.db.models import Q

from access import auditing, replaying
from compliance.analysis.keeping import QuestionEraser
from compliance.journal import reader
from compliance.journal.signing import platform_signer
from compliance.journal.slots import NoSlot
from compliance.journal.store import StoreAway
from compliance.models import Erasure
from compliance.sealing.destroying import destroy
from compliance.tree import asking
from engine.errors import EngineError
from engine.ports import Erasable
from engine.snapshots import Cell
from engine.types import Json
from sessions_app import moving
from sessions_app.erasing import ArchiveEraser, SessionEraser
from tenants import jobs, stored_keys
from tenants.answers import AnswerStore
from tenants.directory import TenantTable, compile_tenants
from tenants.isolation import Stores
from tenants.models import Job
from tenants.rewriting import Rewritten, rewrite_all

log = logging.getLogger(__name__)

KIND: Final = "erase_user"
SETTLE: Final = 2.0  # seconds until every worker has heard that it must use the keys no more
ORIGIN: Final = "clawdbot/erasure"
MOVING: Final = "The tenant's store is being moved. Ask again when `movetenant` is done."
HELD: Final = "The tenant is under a legal hold: nothing of it may be erased."

Whose = Callable[[str], bool]
_QUESTIONS: Final = QuestionEraser()


class Erased(msgspec.Struct, frozen=True):
    """What was done: how many things at each home, and to the store's files. The ids of the keys tell nothing."""

    keys: list[str]
    homes: dict[str, int]
    store: Rewritten
    unsealed_turns: int


def run(job_id: int) -> None:
    """Does a queued erasure, or one whose worker died; safe to repeat, also at the same time. Leaves the certificate as
    the job's result, or the reason it failed: then it is to be asked for again."""
    job = Job.objects.everywhere().select_related("tenant").filter(pk=job_id, kind=KIND).first()
    erasure = Erasure.objects.everywhere().filter(job_id=job_id).select_related("tenant").first()
    if job is None or erasure is None or not jobs.start_job(job_id=job_id):
        return
    if erasure.tenant.legal_hold:  # set since it was asked for
        jobs.fail_job(job_id=job_id, error=HELD)
        return
    if moving.unfinished(erasure.tenant) is not None:  # a copy would be left
        jobs.fail_job(job_id=job_id, error=MOVING)
        return
    try:
        _finish(job, erasure, _erase(job, erasure))
    except EngineError as error:
        _failed(job, f"The store: {error.message}", error)
    except StoreAway as error:
        _failed(job, "The journal's keys could not all be destroyed. Try again.", error)
    except (DatabaseError, NoSlot) as error:
        _failed(job, "The journal or the configuration could not be read. Try again.", error)
    except OSError as error:
        _failed(job, f"Object storage: {error.strerror or error}", error)
    except Exception:  # noqa: BLE001  # border: whoever waits for the job must hear of a mistake in the program too
        jobs.fail_job(job_id=job_id, error="The erasure failed. The platform's log says why.")
        log.exception("erasure %s failed", job_id)


def _failed(job: Job, what: str, error: Exception) -> None:
    jobs.fail_job(job_id=job.pk, error=what)
    log.error("erasure %s failed: %s", job.pk, error)


def _erase(job: Job, erasure: Erasure) -> Erased:
    tenant_id, subject = erasure.tenant_id, erasure.subject
    began = time.time()
    keys = destroy(tenant_id, subject, before=began)
    jobs.report_progress(job_id=job.pk, percent=20)
    results = drop_results(tenant_id)
    jobs.report_progress(job_id=job.pk, percent=30)
    time.sleep(max(0.0, began + SETTLE - time.time()))  # also for sessions that are just being brought back
    homes, store = _cleared(tenant_id, {subject})
    jobs.report_progress(job_id=job.pk, percent=80)
    until = time.time()
    erasure.erased_at = datetime.fromtimestamp(until, UTC)
    erasure.save(update_fields=["erased_at"])  # said again: keys that were made meanwhile go too
    keys += destroy(tenant_id, subject, before=until)
    return Erased(sorted(set(keys)), {**homes, "results": results}, store, _unsealed(erasure))


def _matcher(tenant_id: int, subjects: Iterable[str]) -> Whose:
    """Raises StoreAway: the tenant's key cannot be opened."""
    keys = stored_keys.stored(tenant_id)
    if keys is None:
        raise StoreAway(f"the key of tenant {tenant_id} cannot be opened: nobody can tell whose is what")
    wanted = frozenset(subjects)
    return lambda user: keys.pseudonym(user) in wanted


def _cleared(tenant_id: int, subjects: set[str]) -> tuple[dict[str, int], Rewritten]:
    """The homes in the tenant's store, then the store's files. Raises StoreUnavailable, StoreAway."""
    matches = _matcher(tenant_id, subjects)

    def whose(user: str) -> bool:
        return user in subjects or matches(user)  # the archive names users by their pseudonyms only

    return asyncio.run(_clear(Cell(compile_tenants()), tenant_id, whose))


async def _clear(tenants: Cell[TenantTable], tenant_id: int, whose: Whose) -> tuple[dict[str, int], Rewritten]:
    stores = Stores(settings.VALKEY_NODES, tenants)
    homes: Sequence[Erasable] = (SessionEraser(stores), ArchiveEraser(), AnswerStore(stores, tenants), _QUESTIONS)
    try:
        counts = {home.home: await home.erase(tenant_id, whose) for home in homes}
        return counts, await rewrite_all(await stores.servers(tenant_id))
    finally:
        await stores.close()


def drop_results(tenant_id: int) -> int:
    """Results of the tenant's jobs may hold anybody's words, also those of all tenants that operators asked for; those
    that still run would. What was searched for goes with them. Certificates stay."""
    everybodys = Q(tenant=None, kind__in=(*auditing.KINDS, replaying.KIND))
    mine = Job.objects.everywhere().filter(Q(tenant_id=tenant_id) | everybodys).exclude(kind=KIND)
    for job_id in mine.filter(state__in=jobs.OPEN).exclude(kind=moving.KIND).values_list("pk", flat=True):
        jobs.fail_job(job_id=job_id, error="A user was erased meanwhile. Ask for it again.")
    for job in mine.filter(kind__in=auditing.KINDS):
        mine.filter(pk=job.pk).update(arguments=auditing.without_words(job.arguments))
    dropped = 0
    for job in mine.exclude(result_name=""):
        default_storage.delete(job.result_name)
        dropped += mine.filter(pk=job.pk).update(result_name="")
    return dropped


def _unsealed(erasure: Erasure) -> int:
    """Turns of before entries were sealed: they name their user in the clear, and cannot be erased in this way."""
    whose = _matcher(erasure.tenant_id, {erasure.subject})
    return sum(count for user, count in reader.users(erasure.tenant_id) if whose(user))


def certificate(erasure: Erasure, erased: Erased) -> Json:
    assert erasure.erased_at is not None
    return {
        "erasure": erasure.pk,
        "tenant": erasure.tenant.slug,
        "tenant_id": erasure.tenant_id,
        "subject": erasure.subject,
        "requested_by": erasure.requested_by,
        "requested_at": erasure.requested_at.timestamp(),
        "erased_until": erasure.erased_at.timestamp(),
        "issued_at": time.time(),
        "keys_destroyed": erased.keys,
        "deleted": erased.homes,
        "store": msgspec.to_builtins(erased.store),
        "turns_in_the_clear": erased.unsealed_turns,
        "checkpoint": next(iter(asking.heads(erasure.tenant_id)), None),
    }


def signed(about: Json) -> Json:
    """The certificate, and a signed note (C2SP) of two lines: its origin and its JSON."""
    text = msgspec.json.encode(about).decode()
    signer = platform_signer()
    return {"certificate": about, "note": signer.note([ORIGIN, text]), "public_key": signer.public_key()}


def _finish(job: Job, erasure: Erasure, erased: Erased) -> None:
    content = msgspec.json.encode(signed(certificate(erasure, erased)))
    if not erasure.certificate:
        name = f"erasures/{erasure.tenant_id}/{erasure.pk}.json"
        erasure.certificate = default_storage.save(name, ContentFile(content))
        erasure.save(update_fields=["certificate"])
    stored = default_storage.save(f"jobs/{job.pk}.json", ContentFile(content))  # goes with the job, the other stays
    if not jobs.finish_job(job_id=job.pk, result_name=stored):
        default_storage.delete(stored)


def erase_again(*, stores: bool = True) -> dict[str, int]:
    """Everybody who was ever erased, up to the time they were: after an old backup came back. Keys, sessions and kept
    answers; how many of each. Without `stores`, which are empty then, only the rest. Blocking. Raises StoreAway,
    StoreUnavailable, django.db.DatabaseError."""
    subjects: dict[int, set[str]] = {}
    counts = {"keys": keys_again()}
    for erasure in Erasure.objects.everywhere():
        subjects.setdefault(erasure.tenant_id, set()).add(erasure.subject)
    for tenant_id, names in subjects.items():
        found = _cleared(tenant_id, names)[0] if stores else _in_rows(tenant_id, names)
        for home, count in found.items():
            counts[home] = counts.get(home, 0) + count
    return counts


def _in_rows(tenant_id: int, subjects: set[str]) -> dict[str, int]:
    homes: Sequence[Erasable] = (ArchiveEraser(), _QUESTIONS)
    return {home.home: asyncio.run(home.erase(tenant_id, subjects.__contains__)) for home in homes}


def keys_again() -> int:
    """Only the keys, wherever they came from: a backup, a worker's own disk. Raises StoreAway."""
    done = Erasure.objects.everywhere().filter(erased_at__isnull=False)
    return sum(
        len(destroy(each.tenant_id, each.subject, before=each.erased_at.timestamp()))
        for each in done
        if each.erased_at is not None
    )
