"""The archive's background work: every tenant's idle sessions are put away, and end when their time is over."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import msgspec
import pytest
from django.utils import timezone

from access import archiving, tasks
from compliance.changes import record_session
from compliance.journal.moving import move_changes
from compliance.journal.session_past import events
from compliance.models import ChangeRecord
from compliance.sealing.destroying import destroy
from compliance.sealing.moving import SealedAppend
from engine.entries import PastTurn
from engine.errors import SessionNotFound, StoreUnavailable
from engine.snapshots import Cell
from engine.types import Message
from sessions_app import shelf
from sessions_app.layout import Home
from sessions_app.models import ArchivedSession
from tenants import stored_keys
from tenants.isolation import Stores
from tenants.models import Tenant
from tests.cast import ALICE, tenant_table
from tests.compliance.journals import (
    completion,
    empty_journal,
    intent,
    journal_alias,
    journal_file,
    store_on,
    writer_on,
)
from tests.sessions_app.archived import HOUR, Place, record

__all__ = ["empty_journal", "journal_alias", "journal_file"]

DAY = 86_400
REAL = stored_keys.stored


@pytest.fixture
def site(transactional_db, cast, journal_alias, valkey_url, settings, tmp_path, monkeypatch):
    backend = {"BACKEND": "clawdbot_site.objects.FolderObjects", "OPTIONS": {"location": tmp_path / "objects"}}
    settings.STORAGES = {**settings.STORAGES, "default": backend}
    monkeypatch.setattr(stored_keys, "stored", REAL)
    stored_keys.make_missing()
    ChangeRecord.objects.everywhere().moved()  # who was made for this test
    return cast


def within(work, tenant_id=1):
    """Runs `work(place)` in an event loop of its own, as every task has one."""

    async def run():
        tenants = Cell(tenant_table())
        stores = Stores([archiving.settings.VALKEY_NODES[0]], tenants)
        await stores.tenant(tenant_id).call("PING")
        place = Place(stores, tenants, tenant_id)
        try:
            return await work(place)
        finally:
            place.archive.close()
            await stores.close()

    return asyncio.run(run())


def journalled(alias, knows=lambda tenant_id: True) -> int:
    """As the sequencer does it."""
    store = store_on(alias, "sequencer")
    store.open()
    try:
        return move_changes(SealedAppend(store.append), store.worker, knows)
    finally:
        store.close(finished=True)


def past(session_id="s1", user="1"):
    return events(1, session_id, stored_keys.stored, user=user)


def test_every_tenants_sessions_are_put_away_after_its_own_time(site):
    Tenant.objects.filter(pk=2).update(session_ttl=DAY)
    within(lambda place: place.put("s1"))
    within(lambda place: place.put("s1", "3"), tenant_id=2)
    assert tasks.archive_sessions() == 1
    Tenant.objects.filter(pk=2).update(session_ttl=60)
    assert archiving.archive() == archiving.Told(archived=1)
    assert shelf.figures()[0] == 2 and shelf.figures(2)[0] == 1 and shelf.figures(2)[1] > 0


def test_only_one_run_is_at_it(site):
    within(lambda place: place.stores.platform().call("SET", archiving.LOCK, "another"))
    assert archiving.archive().locked
    within(lambda place: place.stores.platform().call("DEL", archiving.LOCK))
    assert not archiving.archive().locked and not archiving.archive().locked


def test_a_tenant_that_is_being_moved_waits(site):
    within(lambda place: place.put("s1"))
    Tenant.objects.filter(pk=1).update(store_moving=True)
    assert archiving.archive().archived == 0


def test_a_session_ends_when_its_time_is_over(site, journal_alias):
    Tenant.objects.filter(pk=1).update(session_retention_days=3)
    within(lambda place: place.put("s1", content=record(age=4 * DAY)))
    within(lambda place: place.put("s2", content=record(age=2 * DAY)))
    assert archiving.archive() == archiving.Told(archived=2, expired=1)
    row = ArchivedSession.objects.for_tenant(1).get(session_id="s1")
    assert (bool(row.expired_at), row.object_name, bytes(row.summary)) == (True, "", b"")

    async def gone(place):
        with pytest.raises(SessionNotFound) as raised:
            await place.sessions.read(ALICE.principal, "s1")
        listed = (await place.sessions.list(ALICE.principal))["sessions"]
        return raised.value.version, [one["session_id"] for one in listed], len(place.objects())

    assert within(gone) == (3, ["s2"], 1), "a session of this id that begins now counts on"
    (record_of,) = ChangeRecord.objects.everywhere()
    assert journalled(journal_alias) == 1 and not ChangeRecord.objects.everywhere().exists()
    (entry,) = past()
    assert (entry.action, entry.parent, entry.user, entry.turn_id) == ("expired", 2, "1", record_of.id)
    assert past("s2") == []
    long_ago = timezone.now() - timedelta(days=3)
    ArchivedSession.objects.for_tenant(1).filter(session_id="s1").update(expired_at=long_ago)
    archiving.repair()
    assert [row.session_id for row in ArchivedSession.objects.for_tenant(1)] == ["s2"]


def test_the_platforms_retention_counts_where_the_tenant_has_none(site, settings):
    settings.SESSION_RETENTION_DAYS = 1
    Tenant.objects.filter(pk=2).update(session_retention_days=0)
    within(lambda place: place.put("s1", content=record(age=2 * DAY)))
    within(lambda place: place.put("s1", "3", content=record(age=2 * DAY)), tenant_id=2)
    assert archiving.archive() == archiving.Told(archived=2, expired=1)


def test_a_legal_hold_keeps_sessions(site):
    Tenant.objects.filter(pk=1).update(session_retention_days=1, legal_hold=True)
    within(lambda place: place.put("s1", content=record(age=4 * DAY)))
    assert archiving.archive() == archiving.Told(archived=1)
    Tenant.objects.filter(pk=1).update(legal_hold=False)
    assert archiving.archive() == archiving.Told(expired=1)


def test_what_went_on_since_does_not_end(site, journal_alias):
    """One session is in the store again, of another the journal has more than the archive; the store lost it."""
    within(lambda place: place.put("s1", content=record(age=4 * DAY)))
    within(lambda place: place.put("s2", content=record(age=4 * DAY)))
    archiving.archive()
    within(lambda place: place.sessions.read(ALICE.principal, "s1"))

    async def say():
        writer = writer_on(journal_alias)
        writer._sealer._tenants.swap(stored_keys.compile_keys())
        await writer.start()
        asked = intent(user="1", session_id="s2", parent=2, messages=[Message("user", "More")])
        await writer.intent(asked)
        await writer.completion(completion(asked))
        await writer.stop()

    asyncio.run(say())
    assert isinstance(past("s2")[0], PastTurn)
    Tenant.objects.filter(pk=1).update(session_retention_days=3)
    assert archiving.archive(now=lambda: time.time() - HOUR) == archiving.Told()
    assert ArchivedSession.objects.for_tenant(1).filter(expired_at=None).count() == 2


def test_what_was_deleted_since_is_no_session_that_ends(site, journal_alias):
    """Who deleted it was stopped before it left the archive."""
    within(lambda place: place.put("s1", content=record(age=4 * DAY)))
    archiving.archive()
    record_session(action="deleted", tenant_id=1, session_id="s1", user="1", parent=2, key_id=None)
    journalled(journal_alias)
    Tenant.objects.filter(pk=1).update(session_retention_days=3)
    assert archiving.archive() == archiving.Told()
    assert not ArchivedSession.objects.for_tenant(1).exists()
    assert not ChangeRecord.objects.everywhere().exists(), "it had ended already"


def test_nobody_goes_on_with_a_session_while_it_ends(site, monkeypatch):
    within(lambda place: place.put("s1", content=record(age=4 * DAY)))
    archiving.archive()
    real, refused = shelf.Shelf.expire, []

    async def touch(place):
        with pytest.raises(StoreUnavailable) as raised:
            await place.sessions.read(ALICE.principal, "s1")
        refused.append(raised.value)

    def later(self, *arguments):
        within(touch)
        return real(self, *arguments)

    monkeypatch.setattr(shelf.Shelf, "expire", later)
    Tenant.objects.filter(pk=1).update(session_retention_days=3)
    assert archiving.archive() == archiving.Told(expired=1) and refused
    within(lambda place: gone(place, "s1"))


async def gone(place, session_id):
    with pytest.raises(SessionNotFound):
        await place.sessions.read(ALICE.principal, session_id)


def test_of_an_erased_user_only_the_rest_goes(site):
    within(lambda place: place.put("s1", content=record(age=4 * DAY)))
    archiving.archive()
    destroy(1, stored_keys.stored(1).pseudonym("1"), before=time.time())
    Tenant.objects.filter(pk=1).update(session_retention_days=3)
    assert archiving.archive() == archiving.Told(expired=1)
    assert not ChangeRecord.objects.everywhere().exists(), "there is nobody to name"


def test_a_run_repairs_the_index_and_takes_what_is_of_no_use(site):
    home = Home(1, "1")
    within(lambda place: place.put("s1"))
    within(lambda place: place.store.call("DEL", home.idle))
    assert tasks.archive_sessions() == 0
    assert archiving.repair() == archiving.Told(indexed=1)
    assert tasks.repair_archive() == 0 and tasks.archive_sessions() == 1


def test_the_journal_of_a_tenant_that_is_gone_takes_its_last_words(site, journal_alias):
    archiving._journal(1, shelf.Expired(1, "s1", "1", 2, None))
    body = ChangeRecord.objects.everywhere().get().body
    assert msgspec.json.decode(bytes(body))["session_id"] == "s1"
    assert journalled(journal_alias, lambda tenant_id: False) == 1
    assert past() == []
