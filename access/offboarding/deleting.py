"""Deletes a closed tenant for good, and says so in a signed certificate.

What was said is made unreadable wherever it lies: the journal keeps its entries, so that its tree still verifies, but
the keys to them are destroyed, and so is the tenant's own key. Sessions, kept answers, the archive, results and rows
are deleted; accounts of people who are nowhere else too. Whatever fails, it is safe to ask again: the rows, by which
all else is found, go last."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Final

import msgspec
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import DatabaseError, models, transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from access import erasing
from access.offboarding import belongings
from access.offboarding.closing import DELETION, close, deletable_from
from compliance import changes
from compliance.journal.signing import platform_signer
from compliance.journal.store import StoreAway
from compliance.models import ChangeRecord
from compliance.sealing.destroying import destroy_all
from compliance.tree import asking
from compliance.tree.hashing import Broken
from compliance.tree.notes import Keys, open_note
from engine.errors import EngineError
from engine.snapshots import Cell
from engine.types import Json
from sessions_app import moving, shelf
from sessions_app.carrying import empty
from tenants import actors, jobs, prefixed
from tenants.directory import compile_tenants
from tenants.isolation import Stores
from tenants.live import announce
from tenants.models import Job, Member, Tenant, User
from tenants.rewriting import Rewritten, rewrite_all
from tenants.scoping import LiveModel

log = logging.getLogger(__name__)

ORIGIN: Final = "clawdbot/deletion"
FOLDER: Final = "deletions"
DELETED: Final = "tenant_deleted"


def delete(*, tenant: Tenant, early: bool = False) -> str:
    """The name of the object that holds the certificate. `early`: before its days are over. Blocking, minutes for a
    large tenant. Raises ValidationError, StoreAway, StoreUnavailable, django.db.DatabaseError, OSError."""
    tenant = _begun(tenant.pk, early)
    head = next(iter(asking.heads(tenant.pk)), None)
    stored = asyncio.run(_empty_store(tenant))
    sessions = shelf.remove(shelf.rows_of(tenant.pk))
    objects = _drop_results(tenant.pk)
    keys = destroy_all(tenant.pk)
    rows, people = _drop_rows(tenant)
    keys += destroy_all(tenant.pk)  # of a worker that had not heard yet
    about: Json = {
        "tenant": tenant.slug,
        "tenant_id": tenant.pk,
        "created_at": tenant.created_at.timestamp(),
        "closed_at": tenant.closed_at.timestamp() if tenant.closed_at else None,
        "deleted_at": time.time(),
        "keys_destroyed": len(keys),
        "deleted": {
            "store_keys": stored[0],
            "archived_sessions": sessions,
            "results": objects,
            "people": people,
            **rows,
        },
        "store": msgspec.to_builtins(stored[1]),
        "checkpoint": head,
    }
    return default_storage.save(f"{FOLDER}/{tenant.pk}.json", ContentFile(msgspec.json.encode(signed(about))))


def signed(about: Json) -> Json:
    """The certificate, and a signed note (C2SP) of two lines: its origin and its JSON."""
    signer = platform_signer()
    note = signer.note([ORIGIN, msgspec.json.encode(about).decode()])
    return {"certificate": about, "note": note, "public_key": signer.public_key()}


def verified(content: bytes, keys: Keys) -> Json:
    """What the certificate says. Raises compliance.tree's Broken, ValueError: it is none, or says something else than
    what was signed."""
    given: Any = msgspec.json.decode(content)
    if not isinstance(given, dict) or not isinstance(given.get("note"), str):
        raise ValueError("it is no certificate")
    lines = open_note(given["note"], keys)
    if len(lines) != 2 or lines[0] != ORIGIN:
        raise ValueError("it is signed, but no certificate of a deletion")
    about: Json = msgspec.json.decode(lines[1])
    if about != given.get("certificate"):
        raise ValueError("it says something else than what was signed")
    return about


def due() -> list[Tenant]:
    """Those whose days are over, and that nothing holds."""
    closed = Tenant.objects.filter(closed_at__isnull=False, legal_hold=False)
    return [tenant for tenant in closed if _is_due(tenant)]


def came_back() -> list[Tenant]:
    """Those there is a certificate for: an old backup brought them."""
    try:
        names = default_storage.listdir(FOLDER)[1]
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        try:
            with default_storage.open(f"{FOLDER}/{name}") as file:
                about = verified(file.read(), platform_signer().keys)
        except (Broken, ValueError) as error:
            log.error("%s/%s is no certificate of ours: %s", FOLDER, name, error)
            continue
        same = Tenant.objects.filter(pk=about["tenant_id"], slug=about["tenant"])
        found += [tenant for tenant in same if tenant.created_at.timestamp() == about["created_at"]]
    return found


def try_to_delete(tenant: Tenant, *, back: bool) -> bool:
    """For the schedule: what cannot be done now is done the next time. `back`: it was deleted before."""
    try:
        if back and tenant.closed_at is None:
            tenant = close(tenant=tenant, confirmed=tenant.slug, created_by="task delete_closed_tenants")
        delete(tenant=tenant, early=back)
    except (ValidationError, EngineError, StoreAway, DatabaseError, OSError) as error:
        log.error("the tenant %s could not be deleted: %s", tenant.slug, error)
        return False
    return True


def _is_due(tenant: Tenant) -> bool:
    since = deletable_from(tenant)
    return since is not None and since <= timezone.now()


def _begun(number: int, early: bool) -> Tenant:
    """From here on it cannot be taken back; a deletion that failed is to be asked for again."""
    with transaction.atomic():
        tenant = Tenant.objects.select_for_update().get(pk=number)
        begun = Job.objects.for_tenant(number).filter(kind=DELETION)
        _check(tenant, early or begun.exists())
        if not begun.exists():
            jobs.queue_job(tenant_id=number, kind=DELETION, created_by=actors.current().name[:100])
    return tenant


def _check(tenant: Tenant, early: bool) -> None:
    if tenant.closed_at is None:
        raise ValidationError({"tenant": _("Close the tenant first.")})
    if tenant.legal_hold:
        raise ValidationError({"tenant": _("The tenant is under a legal hold: nothing of it may be deleted.")})
    if not early and not _is_due(tenant):
        raise ValidationError({"tenant": _("Its days are not over: until then it can be taken back.")})
    if moving.unfinished(tenant) is not None:
        raise ValidationError({"tenant": _("Its store is being moved. Ask again when that is done.")})


async def _empty_store(tenant: Tenant) -> tuple[int, Rewritten]:
    """The tenant's keys, then the files of its store."""
    tenants = Cell(compile_tenants())
    view = tenants.value.by_id[tenant.pk]
    stores = Stores(settings.VALKEY_NODES, tenants)
    try:
        count = await empty(stores.operator(view))
        servers = await stores.servers(tenant.pk)
        rewritten = await rewrite_all(servers)
        if view.store_layout == "prefix" and not view.store_url:
            for server in servers:
                await prefixed.revoke(server, tenant.pk)
        return count, rewritten
    finally:
        await stores.close()


def _drop_results(tenant_id: int) -> int:
    """Of its own jobs and of those that read all tenants, and the certificates of its users' erasures."""
    dropped = erasing.drop_results(tenant_id)
    mine = Job.objects.for_tenant(tenant_id).filter(kind=erasing.KIND).exclude(result_name="")
    names = list(mine.values_list("result_name", flat=True))
    folder = f"erasures/{tenant_id}"
    try:
        names += [f"{folder}/{name}" for name in default_storage.listdir(folder)[1]]
    except FileNotFoundError:
        pass
    for name in names:
        default_storage.delete(name)
    return dropped + len(names)


def _drop_rows(tenant: Tenant) -> tuple[dict[str, int], int]:
    """Without a record of each, which would keep what is to go: one says that it was all."""
    counts: dict[str, int] = {}
    with transaction.atomic():
        here = Member.objects.for_tenant(tenant.pk).values("user_id")
        elsewhere = Member.objects.everywhere().filter(user=OuterRef("pk")).exclude(tenant_id=tenant.pk)
        only_here = User.objects.filter(pk__in=here, is_superuser=False).exclude(Exists(elsewhere))
        people = list(only_here.values_list("pk", flat=True))
        for model in belongings.tables():
            for children in belongings.hanging(model, tenant.pk):
                children._raw_delete(children.db)
            found = belongings.rows(model, tenant.pk)
            if count := found._raw_delete(found.db):
                counts[model._meta.label_lower] = count
        for person in people:
            _drop_person(person)
        ChangeRecord.objects.for_tenant(tenant.pk).moved()
        gone = Tenant.objects.filter(pk=tenant.pk)
        gone._raw_delete(gone.db)
        changes.record(action=DELETED, model=Tenant._meta.label_lower, row=str(tenant.pk), label=tenant.slug)
        for section in sorted(
            {getattr(model, "config_section", "") for model in [Tenant, *belongings.tables()]} - {""}
        ):
            announce(section)
    return counts, len(people)


def _drop_person(number: int) -> None:
    """With what hangs on the account: addresses, second factors, web sessions. No record of them is kept either."""
    for relation in User._meta.related_objects:
        child: Any = relation.related_model
        rows = child._base_manager.filter(**{relation.field.name: number})
        if getattr(relation, "on_delete", None) is models.SET_NULL:
            rows.update(**{relation.field.name: None})
        elif issubclass(child, LiveModel):
            rows._raw_delete(rows.db)
        else:
            rows.delete()
    for through in (User.groups.through, User.user_permissions.through):
        links = through._base_manager.filter(user_id=number)
        links._raw_delete(links.db)
    person = User.objects.filter(pk=number)
    person._raw_delete(person.db)
