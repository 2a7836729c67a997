"""What tenants take home to verify: checkpoints over the API, exports of whole stretches of their tree."""

from __future__ import annotations

import time

import msgspec
import pytest
from django.core.files.storage import default_storage

from access import auditing
from access.management.audit import CheckpointPage, _checkpoints
from access.tasks import read_journal
from clawdbot_site.serving import sequencer
from compliance import changes
from compliance.journal import changes as journalled
from compliance.journal.changes import ChangeFilters
from compliance.journal.listing import Filters
from compliance.models import ChangeRecord
from compliance.tree.leading import lead
from compliance.tree.sources import Sources
from compliance.tree.verifier import check_export
from tenants import jobs, stored_keys
from tests.compliance.journals import empty_journal, journal_alias, journal_file
from tests.compliance.tree.trees import SIGNER, Tree

__all__ = ["empty_journal", "journal_alias", "journal_file"]

START = 1_700_000_000.0


@pytest.fixture
def tree(transactional_db, cast, valkey_url, journal_alias, tmp_path, settings):
    """60 turns of two tenants, a millisecond apart, and an hour later as many."""
    storage = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path / "kept"}}
    settings.STORAGES = {**settings.STORAGES, "default": storage}
    tree = Tree(journal_alias)
    for at in (START, START + 3600):
        tree.write(60, tenants=2, at=at)
    return tree


def export(tenant_id: int = 1, **filters: float):
    arguments = auditing.export_arguments("verifiable", Filters(**filters))
    job = jobs.queue_job(tenant_id=tenant_id, kind=auditing.EXPORT, arguments=arguments)
    read_journal(job.pk)
    job.refresh_from_db()
    return job


def lines(job) -> list[str]:
    assert (job.state, job.error) == ("done", "")
    assert job.result_name.endswith(".jsonl")
    return default_storage.open(job.result_name).read().decode().splitlines()


def test_an_export_verifies_without_the_platform(tree):
    tree.fold()
    verdict = check_export(lines(export()), SIGNER.keys)
    assert (verdict.findings, verdict.entries) == ([], 120)
    tree.write(600, tenants=2, at=START + 7200)
    tree.fold()
    part = check_export(lines(export(since=START, until=START + 60)), SIGNER.keys)
    assert part.findings == []
    assert 60 <= part.entries < 720
    assert check_export(lines(export(tenant_id=2)), SIGNER.keys).entries == 720


def test_it_goes_as_far_as_a_checkpoint(tree):
    tree.fold()
    tree.write(10, tenants=2, at=START + 7200)
    tree.fold(sign=False)
    verdict = check_export(lines(export()), SIGNER.keys)
    assert (verdict.findings, verdict.entries) == ([], 120)


def test_nothing_can_be_verified_before_it_is_signed(tree):
    job = export()
    assert (job.state, "Try again in a minute" in job.error) == ("failed", True)


def test_an_export_gives_up_what_takes_too_long(tree, monkeypatch):
    tree.fold()
    monkeypatch.setattr(auditing, "LIMIT", -1.0)
    assert "longer than" in export().error


def test_checkpoints_are_handed_out_to_their_tenant(tree):
    tree.fold()
    page = _checkpoints(1)
    assert [(each.checkpoint, each.tenant) for each in page.checkpoints] == [(120, 1)]
    assert page.checkpoints[0].note.split("\n")[2] == page.checkpoints[0].root
    assert _checkpoints(3).checkpoints == []
    assert msgspec.json.decode(msgspec.json.encode(page), type=CheckpointPage) == page


def test_the_sequencer_journals_changes_and_folds_them(tree):
    stored_keys.make_missing()  # which is a change too
    ChangeRecord.objects.everywhere().moved()
    for number in range(3):
        changes.record(action="changed", model="routing.routingrule", row=str(number), tenant_id=1)
    leader = lead()
    assert leader is not None
    with leader, Sources() as sources:
        duties = {duty.name: duty for duty in sequencer.duties(leader, sources)}
        duties["journalling changes"].run(time.monotonic())
    assert not ChangeRecord.objects.everywhere().exists()
    assert [each.row for each in journalled.page(1, ChangeFilters()).changes] == ["2", "1", "0"]
    tree.fold()
    assert check_export(lines(export()), SIGNER.keys).entries == 123
    assert tree.verify().findings == []
