"""A tenant leaves: what it said is in its export, and afterwards nowhere."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from pathlib import Path

import msgspec
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command

from access.offboarding import belongings, closing, deleting, exporting
from compliance.journal import reader
from compliance.journal.signing import platform_signer
from compliance.models import AuditEntry, ChangeRecord, SubjectKey
from compliance.tree.hashing import Broken
from tenants import jobs, services
from tenants.models import Job, Tenant, TenantKey, User
from tests.access.test_erasing import empty_journal, journal_alias, journal_file, live, place, server
from tests.product.running import until
from tests.tenants.test_services import refused

__all__ = ["empty_journal", "journal_alias", "journal_file", "live", "place", "server"]


def closed(tenant: Tenant) -> Tenant:
    return closing.close(tenant=tenant, confirmed=tenant.slug, created_by="test")


def everything_on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_its_export_has_all_that_is_its_own_and_nothing_of_anybody_else(place, server):
    asyncio.run(live(place))
    file = io.BytesIO()
    exporting.write(place.tenant, file)
    with zipfile.ZipFile(file) as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    assert "canary-alice" in texts["journal.jsonl"] and "canary-nameless" in texts["journal.jsonl"]
    assert {member["username"] for member in json.loads(texts["members.json"])} == {"alice", "bob"}
    assert json.loads(texts["tenant.json"])["slug"] == "acme"
    keys = [json.loads(line) for line in texts["rows/tenants.apikey.jsonl"].splitlines()]
    assert [key["name"] for key in keys] == ["alice", "bob"]
    whole = "".join(texts.values())
    assert "canary-charlie" not in whole and "globex" not in whole.lower()
    assert keys[0]["digest"] == "***"


def test_after_deletion_nobody_can_read_what_was_said(place, server, tmp_path):
    said = asyncio.run(live(place))
    acme, globex = place.cast.acme, place.cast.globex
    job = jobs.queue_job(tenant_id=acme.pk, kind="export")
    name = default_storage.save(f"jobs/{job.pk}.zip", ContentFile(b"canary-alice"))
    jobs.start_job(job_id=job.pk)
    jobs.finish_job(job_id=job.pk, result_name=name)
    entries = AuditEntry.objects.for_tenant(acme.pk).count()
    assert entries and SubjectKey.objects.for_tenant(acme.pk).exists()
    services.add_member(tenant=globex, user=place.cast.bob.user)  # he stays, alice goes
    refused("tenant", deleting.delete, tenant=acme)
    closed(acme)
    refused("tenant", deleting.delete, tenant=acme)
    certificate = deleting.delete(tenant=acme, early=True)

    assert not Tenant.objects.filter(pk=acme.pk).exists() and not TenantKey.objects.for_tenant(acme.pk).exists()
    assert [model for model in belongings.tables() if belongings.rows(model, acme.pk).exists()] == []
    assert not ChangeRecord.objects.for_tenant(acme.pk).exists()
    assert sorted(User.objects.values_list("username", flat=True)) == ["bob", "charlie"]
    assert not SubjectKey.objects.for_tenant(acme.pk).exists()
    assert AuditEntry.objects.for_tenant(acme.pk).count() == entries  # the tree still has them all
    record = reader.turn(acme.pk, said["alice"])
    assert record.erased and record.intent.messages == [] and record.intent.subject == ""
    assert not reader.turn(globex.pk, said["charlie"]).erased
    assert not default_storage.exists(name)
    until(lambda: b"canary-alice" not in everything_on_disk(tmp_path / "valkey"), "the store's files are new")
    kept = everything_on_disk(tmp_path / "objects") + everything_on_disk(tmp_path / "valkey")
    assert b"canary-alice" not in kept and b"canary-nameless" not in kept
    assert b"canary-charlie" in kept
    assert SubjectKey.objects.for_tenant(globex.pk).exists()

    with default_storage.open(certificate) as file:
        content = file.read()
    about = deleting.verified(content, platform_signer().keys)
    assert (about["tenant"], about["tenant_id"], about["deleted"]["people"]) == ("acme", acme.pk, 1)
    assert about["keys_destroyed"] > 0 and about["deleted"]["store_keys"] > 0
    assert "tenant_deleted" in [
        msgspec.json.decode(bytes(one.body))["action"] for one in ChangeRecord.objects.everywhere()
    ]


@pytest.fixture
def objects(settings, tmp_path):
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path}},
    }
    return tmp_path


@pytest.mark.parametrize(
    "spoil",
    [
        lambda about: about["certificate"].update(tenant="other"),
        lambda about: about.update(note=about["note"].replace("acme", "other")),
        lambda about: about.update(note=""),
        lambda about: about.pop("certificate"),
    ],
)
def test_a_certificate_that_was_altered_does_not_hold(spoil, tmp_path):
    about = deleting.signed({"tenant": "acme", "tenant_id": 1})
    path = tmp_path / "certificate.json"
    path.write_bytes(msgspec.json.encode(about))
    call_command("offboard", verify=path)
    spoil(about)
    path.write_bytes(msgspec.json.encode(about))
    with pytest.raises(CommandError) as caught:
        call_command("offboard", verify=path)
    assert caught.value.returncode == 1


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b'{"note": 5}', b"\xff"])
def test_what_is_no_certificate_is_none(content):
    with pytest.raises((ValueError, Broken)):
        deleting.verified(content, platform_signer().keys)


def test_closing_needs_the_name_and_can_be_taken_back(cast):
    refused("confirmed", closing.close, tenant=cast.acme, confirmed="ACME", created_by="x")
    first = closed(cast.acme).closed_at
    assert closed(cast.acme).closed_at == first and not Tenant.objects.get(pk=1).is_active
    assert closing.reopen(tenant=cast.acme).is_active
    refused("tenant", closing.reopen, tenant=cast.acme)


def test_what_was_suspended_stays_so(cast):
    services.suspend_tenant(tenant=cast.acme)
    closed(cast.acme)
    assert not closing.reopen(tenant=cast.acme).is_active


def test_a_legal_hold_and_the_days_keep_it(cast, settings):
    closed(cast.acme)
    assert deleting.due() == []
    settings.OFFBOARDING_DAYS = 0
    assert deleting.due() == [cast.acme]
    Tenant.objects.filter(pk=cast.acme.pk).update(legal_hold=True)
    assert deleting.due() == []
    refused("tenant", deleting.delete, tenant=cast.acme, early=True)


def test_the_command_refuses_what_makes_no_sense(cast):
    for arguments in (
        {"slug": "nobody", "close": True},
        {"slug": "acme", "undo": True},
        {"slug": "acme", "delete": True},
    ):
        with pytest.raises(CommandError) as caught:
            call_command("offboard", **arguments)
        assert caught.value.returncode == 2
    call_command("offboard", "acme", "--close")
    call_command("offboard", "acme", "--undo")
    assert Tenant.objects.get(slug="acme").is_active


def test_an_export_is_a_job(cast, objects, valkey_url):
    job = jobs.queue_job(tenant_id=cast.acme.pk, kind=exporting.KIND)
    exporting.run(job.pk)
    job.refresh_from_db()
    assert (job.state, job.result_name) == (Job.State.DONE, f"jobs/{job.pk}.zip")
    assert zipfile.ZipFile(objects / job.result_name).testzip() is None


def test_it_names_every_table_of_a_tenant():
    names = {model._meta.label for model in belongings.tables()}
    assert {
        "tenants.Member",
        "tenants.ApiKey",
        "tenants.Invitation",
        "tenants.TenantKey",
        "routing.RoutingRule",
    } <= names
    assert not any(name.startswith("compliance.AuditEntry") for name in names)


def test_a_deletion_that_has_begun_is_not_taken_back(cast):
    closed(cast.acme)
    jobs.queue_job(tenant_id=cast.acme.pk, kind=closing.DELETION)
    refused("tenant", closing.reopen, tenant=cast.acme)


def test_a_tenant_that_an_old_backup_brings_back_is_known(cast, objects):
    def certified(**changes):
        about = {"tenant": "acme", "tenant_id": 1, "created_at": cast.acme.created_at.timestamp()} | changes
        default_storage.save("deletions/1.json", ContentFile(msgspec.json.encode(deleting.signed(about))))

    assert deleting.came_back() == []
    certified(tenant="other")
    certified(created_at=1.0)
    default_storage.save("deletions/1.json", ContentFile(b'{"certificate": {"tenant_id": 2, "tenant": "globex"}}'))
    assert deleting.came_back() == []
    certified()
    assert deleting.came_back() == [cast.acme]
