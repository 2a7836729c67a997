"""Tenants' keys are replaced: everything opens as before, and old copies of users' keys open no more."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import call_command

from compliance.journal import reader
from compliance.journal.writer import JournalWriter
from compliance.sealing import rewrapping
from compliance.sealing.sealer import Sealer, label
from engine.snapshots import Cell
from tenants import stored_keys
from tenants.models import TenantKey
from tenants.secrets import SealBroken
from tests.compliance.journals import intent, run, store_on

REAL = stored_keys.stored  # the journal's fixtures put others in its place


@pytest.fixture
def site(transactional_db, cast, place_alias, monkeypatch):
    monkeypatch.setattr(stored_keys, "stored", REAL)
    return place_alias


async def test_it_wraps_users_keys_anew_while_a_worker_writes(site, monkeypatch):
    monkeypatch.setattr(rewrapping, "HEARD", 0.0)
    cell = Cell(stored_keys.compile_keys())
    writer = JournalWriter(store_on(site), Sealer(cell))
    await writer.start()
    asked = [intent(user=f"u{number}", tenant_id=1 + number % 2) for number in range(450)]
    for one in asked:
        await writer.intent(one)
    names = {one.turn_id: cell.value[one.tenant_id].pseudonym(one.user) for one in asked}
    before = dict(run(site, "SELECT id, wrapped FROM compliance_subjectkey"))
    told = rewrapping.rotate(heard=0.0)
    assert (told.tenants, told.keys) == (3, 450)
    late = intent(user="late", tenant_id=1)  # of a worker that has not heard yet
    await writer.intent(late)
    cell.swap(stored_keys.compile_keys())
    await writer.intent(new := intent(user="new", tenant_id=1))
    assert rewrapping.drop_retired() == rewrapping.Rewrapped(0, 0), "they are too young"
    told = rewrapping.drop_retired(spared=timedelta())
    assert (told.tenants, told.keys) == (3, 1)
    assert TenantKey.objects.everywhere().count() == 3
    for one in (*asked[:5], late, new):
        record = reader.turn(one.tenant_id, one.turn_id)
        assert (record.erased, record.unreadable, record.intent.user) == (False, False, one.user)
    keys = stored_keys.compile_keys()
    assert {one.turn_id: keys[one.tenant_id].pseudonym(one.user) for one in asked} == names
    for key_id, wrapped in list(before.items())[:10]:
        for tenant_id in (1, 2):
            with pytest.raises(SealBroken):
                keys[tenant_id].unwrap(bytes(wrapped), label(tenant_id, key_id))
    await writer.stop()


def test_the_command_says_what_it_did(site, monkeypatch, capsys):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    stored_keys.make_missing()
    call_command("rotatekeys", tenants=True)
    call_command("rotatekeys", drop_retired=True)
    assert capsys.readouterr().out.splitlines() == [
        "3 tenant keys made, 0 data keys wrapped anew",
        "0 tenant keys dropped, 0 data keys wrapped anew",
    ]
