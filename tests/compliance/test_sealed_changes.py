"""Changes of configuration are sealed on their way into the journal, with a key of their tenant's own."""

from __future__ import annotations

import time

import pytest

from compliance.journal import reader
from compliance.journal.records import change_row
from compliance.journal.store import StoreAway
from compliance.sealing.moving import SealedAppend
from engine.entries import Change
from engine.turn import new_turn_id
from tenants import stored_keys
from tests.compliance.journals import KEYS, rows, store_on


def change(tenant_id: int) -> Change:
    return Change(
        turn_id=new_turn_id(time.time()), tenant_id=tenant_id, at=time.time(), actor="operator:1", action="changed",
        model="routing.routingrule", row="7", label="canary",
    )  # fmt: skip


@pytest.fixture
def append(transactional_db, cast, journal_alias):
    store = store_on(journal_alias, "sequencer")
    store.open()
    yield SealedAppend(store.append)
    store.close(finished=True)


def test_it_seals_changes_of_tenants_and_of_the_platform(append, journal_alias):
    told = [change(0), change(1), change(1)]
    append([change_row(one, "w") for one in told])
    assert not any(b"canary" in bytes(body) for (body,) in rows(journal_alias, "body"))
    assert rows(journal_alias, "model, instance, state")[0] == ("routing.routingrule", "7", "changed")
    for one in told:
        (entry,) = reader.entries_of(one.tenant_id, one.turn_id)
        assert reader.change_of(entry) == one


def test_it_waits_while_a_tenants_key_cannot_be_opened(append, journal_alias, monkeypatch):
    monkeypatch.setattr(stored_keys, "stored", lambda tenant_id: KEYS[0] if tenant_id == 0 else None)
    with pytest.raises(StoreAway):
        append([change_row(change(1), "w")])
    assert rows(journal_alias) == []
    append([change_row(change(999), "w")])  # of a tenant that is gone
    (entry,) = reader.entries_of(999, rows(journal_alias)[0][0])
    assert reader.change_of(entry).erased
    monkeypatch.setattr(stored_keys, "stored", KEYS.get)
    append([change_row(one := change(1), "w")])
    (entry,) = reader.entries_of(1, one.turn_id)
    assert reader.change_of(entry) == one
