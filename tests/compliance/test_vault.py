"""What is kept outside the journal opens with its user's key, in its own place, unaltered, and not otherwise."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.utils import timezone

from compliance.journal import slots, tables
from compliance.models import Erasure
from compliance.sealing import rewrapping
from compliance.sealing.destroying import destroy
from compliance.sealing.vault import MARK, SubjectVault
from compliance.tree.removing import Remover
from engine.errors import StoreUnavailable
from tenants import stored_keys
from tenants.models import TenantKey
from tests.compliance.journals import KEYS, run

REAL = stored_keys.stored  # the journal's fixtures put others in its place
ALICE = KEYS[1].pseudonym("alice")


@pytest.fixture
def site(transactional_db, cast, place_alias):
    return place_alias


def keys_in(place) -> list[tuple[str, str]]:
    return run(place, "SELECT id, subject FROM compliance_subjectkey ORDER BY created_at")


def test_it_opens_what_it_sealed(site):
    vault = SubjectVault()
    sealed = vault.seal(1, "alice", "sessions/1", b"canary")
    assert b"canary" not in sealed
    assert vault.open(1, "sessions/1", sealed) == b"canary"
    assert vault.seal(1, "alice", "sessions/1", b"canary") != sealed, "a nonce is used once"
    assert [subject for _, subject in keys_in(site)] == [ALICE], "a user has one key"
    assert bytes.fromhex(keys_in(site)[0][0]).startswith(MARK)


def test_it_opens_nothing_that_was_altered_or_moved(site):
    vault = SubjectVault()
    sealed = vault.seal(1, "alice", "here", b"canary")
    with pytest.raises(ValueError, match="elsewhere"):
        vault.open(1, "there", sealed)
    assert vault.open(2, "here", sealed) is None, "the other tenant has no such key"
    for position in (0, 20, 30, len(sealed) - 1):
        altered = bytearray(sealed)
        altered[position] ^= 1
        with pytest.raises(ValueError, match=r"altered|nothing"):
            vault.open(1, "here", bytes(altered))
    with pytest.raises(ValueError, match="nothing"):
        vault.open(1, "here", b"")
    assert [type(one) for one in vault.open_all(1, [("here", sealed), ("there", sealed)])] == [bytes, ValueError]


def test_what_was_sealed_for_an_erased_user_opens_no_more(site):
    vault = SubjectVault()
    alices, bobs = vault.seal_all(1, [("alice", "a", b"one"), ("bob", "b", b"two")])
    destroy(1, ALICE, before=time.time())
    assert vault.open_all(1, [("a", alices), ("b", bobs)]) == [None, b"two"]


def test_who_was_erased_moments_ago_gets_no_new_key_for_what_is_old(site, cast):
    vault = SubjectVault()
    erasure = Erasure.objects.create(tenant=cast.acme, subject=ALICE, requested_by="test")
    assert vault.seal_all(1, [("alice", "a", b"one"), ("bob", "b", b"two")])[0] is None
    with pytest.raises(StoreUnavailable):
        vault.seal(1, "alice", "a", b"one")
    long_ago = timezone.now() - timedelta(hours=2)
    Erasure.objects.for_tenant(1).filter(pk=erasure.pk).update(requested_at=long_ago, erased_at=long_ago)
    assert vault.open(1, "a", vault.seal(1, "alice", "a", b"new")) == b"new"


def test_retention_of_the_journal_leaves_its_keys(site):
    vault = SubjectVault()
    sealed = vault.seal(1, "alice", "a", b"one")
    Remover(0).remove_keys(1, time.time() + 1)
    assert vault.open(1, "a", sealed) == b"one"


def test_it_opens_after_the_tenants_keys_were_replaced(site, monkeypatch):
    monkeypatch.setattr(stored_keys, "stored", REAL)
    stored_keys.make_missing()
    vault = SubjectVault()
    sealed = vault.seal(1, "alice", "a", b"one")
    assert rewrapping.rotate(heard=0.0).keys == 1
    rewrapping.drop_retired(spared=timedelta())
    assert vault.open(1, "a", sealed) == b"one"
    TenantKey.objects.everywhere().filter(tenant_id=1).delete()
    with pytest.raises(StoreUnavailable):
        vault.open(1, "a", sealed)


def test_its_keys_lie_where_no_turn_waits(transactional_db, cast, journal_alias, monkeypatch):
    tables.migrate_slot(journal_alias, slots.SEQUENCER)
    vault = SubjectVault()
    sealed = vault.seal(1, "alice", "a", b"one")
    assert keys_in(slots.slot_path(journal_alias, slots.SEQUENCER)) and not keys_in(journal_alias)
    assert vault.open(1, "a", sealed) == b"one"
    destroy(1, ALICE, before=time.time())
    assert vault.open(1, "a", sealed) is None
