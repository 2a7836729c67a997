"""Idle sessions leave the store and come back when they are touched; whatever happens in between, none is lost."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import msgspec
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from clawdbot_site.backup import sessions as backup
from compliance.sealing.destroying import destroy
from compliance.sealing.vault import SubjectVault
from engine.errors import SessionNotFound, StoreUnavailable
from engine.snapshots import Cell
from sessions_app import shelf
from sessions_app.archive import Archive
from sessions_app.erasing import ArchiveEraser, SessionEraser
from sessions_app.layout import Home, idle_member
from sessions_app.sweeping import Sweeper, index_all
from tenants.isolation import Stores
from tests.cast import ALICE, BOB, CHARLIE, tenant_table
from tests.compliance.journals import KEYS, empty_journal, journal_alias, journal_file
from tests.sessions_app.archived import HOUR, Place, record

__all__ = ["empty_journal", "journal_alias", "journal_file"]

ALICES = Home(1, "1")


@pytest.fixture(params=["folder", "bucket"])
def objects(request, settings, tmp_path):
    backend = {"BACKEND": "clawdbot_site.objects.FolderObjects", "OPTIONS": {"location": tmp_path / "objects"}}
    if request.param == "bucket":
        server = request.getfixturevalue("object_server")
        backend = {"BACKEND": "clawdbot_site.s3.S3Objects", "OPTIONS": server.options(tmp_path.name)}
    settings.STORAGES = {**settings.STORAGES, "default": backend}


@pytest.fixture
async def place(transactional_db, cast, journal_alias, objects, valkey_url):
    tenants = Cell(tenant_table())
    stores = Stores([valkey_url], tenants)
    await stores.tenant(1).call("PING")
    place = Place(stores, tenants)
    yield place
    place.archive.close()
    await stores.close()


async def test_an_idle_session_leaves_the_store_and_comes_back_as_it_was(place):
    kept = await place.put("s1")
    await place.put("s2", content=record(age=60))
    swept = await place.sweep()
    assert (swept.archived, swept.left, swept.complete) == (1, 0, True)
    assert not any("s1" in name for name in await place.names())
    assert await place.store.call("ZCARD", ALICES.idle) == 1
    row = place.rows().get()
    assert (row.subject, row.session_id, row.version) == (KEYS[1].pseudonym("1"), "s1", 2)
    assert default_storage.size(row.object_name) == row.size
    assert b"canary" not in default_storage.open(row.object_name).read() + bytes(row.summary)
    back = await place.sessions.read(ALICE.principal, "s1")
    assert (back["state"], back["version"], back["user_profile"]) == ("live", 2, {"name": "Ada"})
    stored = await place.files.load(ALICES, "s1")
    assert (stored.record, stored.recent) == (kept, ["t1"])
    assert (await place.sweep()).archived == 0, "it was touched"


async def test_it_leaves_what_is_in_use(place):
    await place.put("s1")
    await place.store.call("HSET", ALICES.lease("s1"), "turn", "t", "until", "1")
    assert await place.sweep() == (0, 1, True)
    await place.store.call("DEL", ALICES.lease("s1"))
    await place.put("s2", content=record(age=10))
    await place.store.call("ZADD", ALICES.idle, 5, idle_member("1", "s2"))  # its last turn did not reach the index
    swept = await place.sweep()
    assert (swept.archived, swept.left) == (1, 0)
    assert float(await place.store.call("ZSCORE", ALICES.idle, idle_member("1", "s2"))) > time.time() - HOUR


async def test_it_leaves_what_changed_while_it_was_put_away(place, monkeypatch):
    await place.put("s1")
    real = Sweeper._remove

    async def later(self, found):
        await place.store.call("HSET", ALICES.session("s1"), "snapshots", "[]")
        return await real(self, found)

    monkeypatch.setattr(Sweeper, "_remove", later)
    assert (await place.sweep()).archived == 0
    assert await place.files.load(ALICES, "s1") is not None
    listed = (await place.sessions.list(ALICE.principal))["sessions"]
    assert [(one["session_id"], one["state"]) for one in listed] == [("s1", "live")]
    monkeypatch.setattr(Sweeper, "_remove", real)
    assert (await place.sweep()).archived == 1
    assert len(place.objects()) == place.rows().count() == 1, "the older object is gone"


async def test_what_was_deleted_while_it_was_put_away_stays_deleted(place, monkeypatch):
    await place.put("s1")
    real = Sweeper._remove

    async def later(self, found):
        await place.sessions.delete(ALICE.principal, "s1")
        return await real(self, found)

    monkeypatch.setattr(Sweeper, "_remove", later)
    await place.sweep()
    assert (place.rows().count(), place.objects()) == (0, [])
    with pytest.raises(SessionNotFound):
        await place.sessions.read(ALICE.principal, "s1")
    assert (await place.sessions.list(ALICE.principal))["sessions"] == []


async def test_what_another_one_put_away_at_the_same_time_stays_there(place, monkeypatch):
    kept = await place.put("s1")
    real = Sweeper._remove

    async def later(self, found):
        assert await real(self, found) == 1
        return await real(self, found)

    monkeypatch.setattr(Sweeper, "_remove", later)
    await place.sweep()
    assert [row.session_id for row in place.rows()] == ["s1"] and len(place.objects()) == 1
    listed = (await place.sessions.list(ALICE.principal))["sessions"]
    assert [(one["session_id"], one["state"]) for one in listed] == [("s1", "archived")]
    await place.sessions.read(ALICE.principal, "s1")
    assert (await place.files.load(ALICES, "s1")).record == kept


async def test_it_reads_no_more_than_there_is_memory_for(place, monkeypatch):
    for number in range(20):
        await place.put(f"s{number}")
    real, read = Sweeper._keep, []

    async def noting(self, sessions):
        read.append(len(sessions))
        return await real(self, sessions)

    monkeypatch.setattr(Sweeper, "_keep", noting)
    assert await place.sweep(most_bytes=1) == (20, 0, True)
    assert read == [8, 8, 4]


async def test_nor_does_a_backup(place, monkeypatch):
    for number in range(5):
        await place.put(f"s{number}")
    view = tenant_table().by_id[1]
    parts = [(number, len(some)) async for number, some in backup._batches(place.stores, view)]
    assert parts == [(0, 5)]
    monkeypatch.setattr(backup, "BYTES", 1)
    parts = [(number, len(some)) async for number, some in backup._batches(place.stores, view)]
    assert parts == [(number, 1) for number in range(5)]


async def test_what_is_deleted_while_object_storage_is_away_is_in_no_list(place, settings):
    await place.put("s1")
    await place.sweep()
    await place.sessions.read(ALICE.principal, "s1")
    there = settings.STORAGES
    options = {"bucket_name": "x", "endpoint_url": "http://127.0.0.1:9", "access_key": "a", "secret_key": "b"}
    settings.STORAGES = {**there, "default": {"BACKEND": "clawdbot_site.s3.S3Objects", "OPTIONS": options}}
    await place.sessions.delete(ALICE.principal, "s1")
    settings.STORAGES = there
    assert (await place.sessions.list(ALICE.principal))["sessions"] == []
    assert (place.rows().count(), len(place.objects())) == (0, 1)
    assert shelf.tidy(1, young=timedelta()) == 1 and place.objects() == []


async def test_what_was_deleted_by_one_that_died_then_leaves_the_archive_when_it_is_touched(place, monkeypatch):
    await place.put("s1")
    await place.sweep()

    async def never(home, session_id):
        """As if the process was gone."""

    with monkeypatch.context() as patched:
        patched.setattr(place.archive, "forget", never)
        await place.sessions.delete(ALICE.principal, "s1")
    assert place.rows().count() == 1
    with pytest.raises(SessionNotFound) as raised:
        await place.sessions.read(ALICE.principal, "s1")
    assert raised.value.version == 3 and (place.rows().count(), place.objects()) == (0, [])
    assert (await place.sessions.list(ALICE.principal))["sessions"] == []


class Died(Exception):
    pass


@pytest.mark.parametrize("step", ["_store", "_write", "_remove", "_settle"])
@pytest.mark.parametrize("before", [True, False])
async def test_nothing_is_lost_by_a_crash_at_any_step(place, monkeypatch, step, before):
    kept = await place.put("s1")
    owner = next(each for each in (Sweeper, shelf.Shelf, shelf) if hasattr(each, step))
    real = getattr(owner, step)

    if owner is Sweeper:

        async def dies(self, *arguments):
            if not before:
                await real(self, *arguments)
            raise Died

    else:

        def dies(self, *arguments):
            if not before:
                real(self, *arguments)
            raise Died

    monkeypatch.setattr(owner, step, dies)
    with pytest.raises(Died):
        await place.sweep()
    monkeypatch.setattr(owner, step, real)
    listed = (await place.sessions.list(ALICE.principal))["sessions"]
    assert [one["session_id"] for one in listed] == ["s1"]
    await place.sweep()
    assert not any("s1" in name for name in await place.names()) and place.rows().count() == 1
    assert await place.store.call("ZCARD", ALICES.idle) == 0
    shelf.tidy(1, young=timedelta())
    assert place.objects() == [place.rows().get().object_name]
    await place.sessions.read(ALICE.principal, "s1")
    assert (await place.files.load(ALICES, "s1")).record == kept


async def test_what_the_store_may_have_lost_is_seen_to_first(place):
    await place.put("s1")
    await place.store.call("HSET", ALICES.session("s1"), "holder", "t9")
    assert (await place.sweep()).archived == 0
    assert not await place.store.call("HGET", ALICES.session("s1"), "holder")
    assert (await place.sweep(idle=-10)).archived == 1


async def test_sessions_stay_while_object_storage_is_away(place, settings):
    await place.put("s1")
    there = settings.STORAGES
    options = {"bucket_name": "x", "endpoint_url": "http://127.0.0.1:9", "access_key": "a", "secret_key": "b"}
    away = {"BACKEND": "clawdbot_site.s3.S3Objects", "OPTIONS": options}
    settings.STORAGES = {**there, "default": away}
    with pytest.raises(StoreUnavailable):
        await place.sweep()
    assert await place.files.load(ALICES, "s1") is not None
    settings.STORAGES = there
    assert (await place.sweep()).archived == 1
    settings.STORAGES = {**there, "default": away}
    with pytest.raises(StoreUnavailable):
        await place.sessions.read(ALICE.principal, "s1")
    settings.STORAGES = there
    assert (await place.sessions.read(ALICE.principal, "s1"))["version"] == 2


async def test_what_hangs_is_away(monkeypatch):
    monkeypatch.setattr("sessions_app.archive.PATIENCE", 0.02)
    hangs, archive = threading.Event(), Archive(SubjectVault(), threads=1)
    monkeypatch.setattr(archive._shelf, "get", lambda *_: hangs.wait(20))
    try:
        for _ in range(2):  # the second one does not even begin
            with pytest.raises(StoreUnavailable):
                await archive.fetch(Home(1, "1"), "s")
    finally:
        hangs.set()
        archive.close()


async def test_a_list_has_both_kinds_the_last_active_first(place):
    for number in range(7):
        await place.put(f"s{number}", content=record(age=2 * HOUR + 60 * number, name=f"n{number}"))
    await place.sweep()
    for number in (1, 4):
        await place.sessions.read(ALICE.principal, f"s{number}")
    pages, cursor = [], None
    while True:
        page = await place.sessions.list(ALICE.principal, 2, cursor)
        pages.append([(one["session_id"], one["state"], one["name"]) for one in page["sessions"]])
        cursor = page["next_cursor"]
        if cursor is None:
            break
    listed = [one for page in pages for one in page]
    states = {f"s{number}": "live" if number in (1, 4) else "archived" for number in range(7)}
    assert sorted(listed) == [(name, state, name.replace("s", "n")) for name, state in states.items()]
    assert [name for name, *_ in listed] == [f"s{number}" for number in range(7)]
    await place.store.call("FLUSHALL")
    after = (await place.sessions.list(ALICE.principal))["sessions"]
    assert [one["session_id"] for one in after] == [f"s{number}" for number in range(7)]


async def test_nobody_else_has_it(place):
    await place.put("s1")
    await place.sweep()
    for person in (BOB, CHARLIE):
        with pytest.raises(SessionNotFound):
            await place.sessions.read(person.principal, "s1")
        assert (await place.sessions.list(person.principal))["sessions"] == []
    assert await place.archive.fetch(Home(2, "1"), "s1") is None


async def test_an_api_key_finds_the_archived_sessions_of_its_users(place):
    await place.put("s1", "key:1:ann")
    await place.put("s2", "key:1:ann", record(age=3 * HOUR))
    await place.sweep()
    named = msgspec.structs.replace(ALICE.key_principal, user="key:1:ann")
    assert [one["session_id"] for one in (await place.sessions.list(named))["sessions"]] == ["s1", "s2"]
    assert (await place.sessions.read(ALICE.key_principal, "s1"))["version"] == 2
    with pytest.raises(SessionNotFound):
        await place.sessions.read(BOB.key_principal, "s2")
    assert (await place.sessions.read(ALICE.key_principal, "s2"))["version"] == 2


async def test_what_is_deleted_or_erased_is_in_no_archive(place):
    for session_id, user in (("s1", "1"), ("s2", "1"), ("s3", "2")):
        await place.put(session_id, user)
    await place.sweep()
    await place.sessions.delete(ALICE.principal, "s1")
    assert place.rows().count() == len(place.objects()) == 2
    whose = {KEYS[1].pseudonym("1"), "1"}.__contains__
    assert await ArchiveEraser().erase(1, whose) == 1
    assert [row.session_id for row in place.rows()] == ["s3"] and len(place.objects()) == 1
    assert await ArchiveEraser().erase(1, whose) == 0
    await place.put("s4", "1")
    assert await SessionEraser(place.stores).erase(1, whose) == 1
    assert await place.store.call("ZCARD", ALICES.idle) == 0


async def test_what_an_erased_user_had_opens_no_more_wherever_it_lies(place):
    await place.put("s1")
    await place.sweep()
    destroy(1, KEYS[1].pseudonym("1"), before=time.time())
    with pytest.raises(SessionNotFound):
        await place.sessions.read(ALICE.principal, "s1")
    assert (await place.sessions.list(ALICE.principal))["sessions"] == []


async def test_an_object_that_was_altered_or_moved_is_nobodys(place):
    await place.put("s1")
    await place.put("s2")
    await place.sweep()
    first, second = place.rows().order_by("session_id")
    content = default_storage.open(second.object_name).read()
    default_storage.delete(first.object_name)
    default_storage.save(first.object_name, ContentFile(content))
    with pytest.raises(SessionNotFound):
        await place.sessions.read(ALICE.principal, "s1")
    assert (await place.sessions.read(ALICE.principal, "s2"))["version"] == 2


async def test_the_index_learns_of_sessions_it_does_not_know(place):
    await place.put("s1", "a:b{c}")
    await place.put("s2")
    await place.store.call("ZREM", Home(1, "a:b{c}").idle, idle_member("a:b{c}", "s1"))
    assert (await index_all(place.store, 1), await index_all(place.store, 1)) == (1, 0)
    assert (await place.sweep()).archived == 2


async def test_objects_that_no_row_names_are_removed(place):
    await place.put("s1")
    await place.sweep()
    row = place.rows().get()
    orphan = default_storage.save(row.object_name, ContentFile(b"x"))
    assert shelf.tidy(1) == 0, "somebody may be about to name it"
    assert shelf.tidy(1, young=timedelta()) == 1
    assert (place.objects(), orphan in place.objects()) == ([row.object_name], False)


async def test_a_large_store_is_swept_in_parts(place):
    for number in range(100):
        await place.put(f"s{number}", f"u{number}", record(1))
    calls = iter([True, True, False])
    swept = await place.sweeper(batch=4).sweep(int(time.time()) - HOUR, lambda: next(calls))
    assert 1 <= swept.archived <= 8 and not swept.complete
    rest = await place.sweep(batch=4)
    assert swept.archived + rest.archived == 100 == place.rows().count()
    assert await place.names() == []


def test_a_keys_users_are_told_by_their_names():
    assert (shelf.key_of("key:12:ann"), shelf.key_of("key:12"), shelf.key_of("7")) == (12, None, None)


def test_an_id_that_was_never_here_costs_one_query(transactional_db, cast, journal_alias, django_assert_num_queries):
    """And not the tenant's key: whoever names a new session asks."""
    unknown = shelf.Shelf(SubjectVault())
    with django_assert_num_queries(1):
        assert unknown.get(ALICES, "nobody's") is None
    with django_assert_num_queries(1):
        assert unknown.whose(1, 1, "nobody's") is None
