"""A tenant's store is moved while turns go on: nothing is lost, nothing comes back."""

from __future__ import annotations

import asyncio
import io
import threading
import time

import pytest
import redis
from django.core.management import CommandError, call_command

from access import erasing
from access.erasure_requests import prepare_erasure
from engine.errors import EngineError
from engine.snapshots import Cell
from engine.types import Answerer, ChatRequest, Message
from sessions_app import carrying, moving
from sessions_app.moving import CannotMove, Place
from tenants import jobs, stored_keys
from tenants.directory import compile_tenants
from tenants.isolation import Stores
from tenants.models import Job, Tenant
from tests.cast import ALICE, BOB, CHARLIE
from tests.services.valkey import ValkeyServer
from tests.sessions_app.parts import sessions

PREFIX = Place("prefix")


class Interrupted(BaseException):
    """In the place of whatever ends a process."""


class Turns:
    """People who talk all the time, on an event loop of their own that follows the tenants' table as workers do."""

    def __init__(self, url):
        self.url = url
        self.said: dict[tuple[int, str], list[str]] = {}
        self.failed = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    async def _run(self):
        self.tenants = Cell(await asyncio.to_thread(compiled))
        stores = Stores([self.url], self.tenants)
        follow = asyncio.create_task(self._follow())
        speakers = [
            asyncio.create_task(self._speak(stores, person, f"s{number}"))
            for person in (ALICE, BOB, CHARLIE)
            for number in range(4)
        ]
        while not self._stop.is_set():
            await asyncio.sleep(0.02)
        await asyncio.gather(*speakers)
        follow.cancel()
        await stores.close()

    async def _follow(self):
        while True:
            self.tenants.swap(await asyncio.to_thread(compiled))
            await asyncio.sleep(0.5)

    async def _speak(self, stores, person, session_id):
        desk = sessions(stores, self.tenants)
        said = self.said.setdefault((person.id, session_id), [])
        number = 0
        while not self._stop.is_set():
            number += 1
            text = f"{number}"
            try:
                await stores.settled(person.company.id)
                request = ChatRequest(messages=[], session_id=session_id, create_session=True, remember=True)
                session = await desk.open(person.principal, request)
                await asyncio.sleep(0.05)
                await desk.append(session, [Message("user", text)], Answerer("m", 1, "v"))
                await desk.close(session)
                said.append(text)
            except EngineError:
                self.failed += 1
                await asyncio.sleep(0.05)


def compiled():
    from django.db import connection

    try:
        return compile_tenants()
    finally:
        connection.close()


def read(url, person, session_id):
    tenants = Cell(compile_tenants())

    async def ask():
        stores = Stores([url], tenants)
        try:
            told = await sessions(stores, tenants).read(person.principal, session_id)
            return [message["content"] for message in told["context_stack"]]
        finally:
            await stores.close()

    return asyncio.run(ask())


def names(url, view):
    tenants = Cell(compile_tenants())

    async def ask():
        stores = Stores([url], tenants)
        try:
            return [name async for part in stores.operator(view).scan() for name in part]
        finally:
            await stores.close()

    return asyncio.run(ask())


@pytest.fixture(autouse=True)
def impatient(request):
    """Where no worker has to follow, nobody waits for them."""
    with pytest.MonkeyPatch.context() as patch:
        if "while_turns_go_on" not in request.node.name:
            patch.setattr(moving, "FOLLOW", 0.01)
        yield


@pytest.fixture
def acme(transactional_db, cast, valkey_url):
    return Tenant.objects.get(slug="acme")


@pytest.fixture
def own_server(tmp_path):
    server = ValkeyServer(tmp_path)
    server.start()
    yield server
    server.kill()


def test_it_moves_a_tenant_there_and_back_while_turns_go_on(acme, valkey_url, own_server):
    with Turns(valkey_url) as turns:
        time.sleep(0.5)
        for place in ("prefix", f"{own_server.url}?db=7", "database"):
            before = compile_tenants().by_id[acme.pk]
            call_command("movetenant", "acme", "--to", place, stdout=io.StringIO())
            assert names(valkey_url, before) == []
            assert Place.of(Tenant.objects.get(pk=acme.pk)) == Place.named(place)
            time.sleep(0.3)
    assert turns.failed == 0
    for (person_id, session_id), said in turns.said.items():
        person = next(person for person in (ALICE, BOB, CHARLIE) if person.id == person_id)
        assert len(said) > 40
        assert read(valkey_url, person, session_id) == said
    assert not Tenant.objects.get(pk=acme.pk).store_moving
    assert {job.state for job in Job.objects.for_tenant(acme.pk)} == {"done"}


@pytest.mark.parametrize("where", ["copying", "holding", "switched", "merged"])
def test_a_move_that_was_interrupted_is_finished_by_asking_again(acme, valkey_url, monkeypatch, where):
    talk(valkey_url, ALICE, "a")
    interrupted_at(monkeypatch, where)
    with pytest.raises(Interrupted):
        moving.move(acme, PREFIX)
    monkeypatch.undo()
    talk(valkey_url, ALICE, "a")
    talk(valkey_url, ALICE, "b")
    begun = moving.unfinished(acme)
    assert begun.switched == (where in ("switched", "merged"))
    acme.refresh_from_db()
    assert acme.store_moving is False
    with pytest.raises(CannotMove, match="another move"):
        moving.move(acme, Place("database", "unix:///elsewhere"))
    moving.move(acme, PREFIX)
    assert read(valkey_url, ALICE, "a") == ["a", "a"] and read(valkey_url, ALICE, "b") == ["b"]
    assert moving.unfinished(acme) is None
    assert names(valkey_url, compile_tenants().by_slug["globex"]) == []


def test_a_move_can_be_taken_back_until_the_address_was_changed(acme, valkey_url, monkeypatch):
    talk(valkey_url, ALICE, "a")
    interrupted_at(monkeypatch, "holding")
    with pytest.raises(Interrupted):
        moving.move(acme, PREFIX)
    monkeypatch.undo()
    Tenant.objects.filter(pk=acme.pk).update(store_moving=True)  # as a kill would have left it
    call_command("movetenant", "acme", "--abort", stdout=io.StringIO())
    acme.refresh_from_db()
    assert (acme.store_moving, acme.store_layout) == (False, "database")
    assert read(valkey_url, ALICE, "a") == ["a"]
    interrupted_at(monkeypatch, "merged")
    with pytest.raises(Interrupted):
        moving.move(acme, PREFIX)
    with pytest.raises(CommandError, match="already"):
        call_command("movetenant", "acme", "--abort")


def test_only_one_process_moves_a_tenant(acme, valkey_url):
    with moving._Hands(acme), pytest.raises(CannotMove, match="right now"):
        moving.move(acme, PREFIX)
    acme.refresh_from_db()
    assert acme.store_layout == "database" and not Job.objects.for_tenant(acme.pk).exists()
    with pytest.raises(CannotMove, match="right now"), moving._Hands(acme) as hands:
        hands.run(hands._stores.platform().call("SET", hands._lock, "another"))
        hands.run(asyncio.sleep(0))
    with redis.Redis(unix_socket_path=valkey_url.removeprefix("unix://")) as client:
        assert client.get(f"moving:{{{acme.pk}}}") == b"another"


def test_a_move_and_an_erasure_wait_for_each_other(acme, valkey_url, monkeypatch):
    erasure = jobs.queue_job(tenant_id=acme.pk, kind=erasing.KIND)
    with pytest.raises(CannotMove, match="erased"):
        moving.move(acme, PREFIX)
    jobs.finish_job(job_id=erasure.pk)
    interrupted_at(monkeypatch, "holding")
    with pytest.raises(Interrupted):
        moving.move(acme, PREFIX)
    monkeypatch.undo()
    stored_keys.make(acme.pk)
    asked = prepare_erasure(tenant=acme, user="1", created_by="test")
    erasing.run(asked.job_id)
    assert Job.objects.everywhere().get(pk=asked.job_id).error == erasing.MOVING
    moving.move(acme, PREFIX)


def test_an_erasure_that_began_while_the_place_was_made_ready_comes_first(acme, valkey_url, monkeypatch):
    """It saw no move, and would not look at the new place."""
    clear, begun = moving._Hands.clear, []

    def slow_clear(hands, place):
        clear(hands, place)
        begun.append(jobs.queue_job(tenant_id=acme.pk, kind=erasing.KIND))

    monkeypatch.setattr(moving._Hands, "clear", slow_clear)
    with pytest.raises(CannotMove, match="erased"):
        moving.move(acme, PREFIX)
    monkeypatch.undo()
    assert moving.unfinished(acme) is None
    acme.refresh_from_db()
    assert (acme.store_layout, acme.store_moving) == ("database", False)
    jobs.finish_job(job_id=begun[0].pk)
    moving.move(acme, PREFIX)


def test_a_tenant_without_a_database_can_be_given_another_place(acme, own_server, settings):
    own_server.stop()
    own_server.options = ["--databases", "16"]
    own_server.start()
    settings.VALKEY_NODES = [own_server.url]
    moving.move(acme, PREFIX)
    acme.refresh_from_db()
    assert acme.store_layout == "prefix"
    talk(own_server.url, ALICE, "a")
    assert read(own_server.url, ALICE, "a") == ["a"]
    with pytest.raises(CannotMove, match="too few"):
        moving.move(acme, Place("database"))
    assert read(own_server.url, ALICE, "a") == ["a"]
    assert moving.unfinished(acme) is None


def test_it_refuses_places_that_are_none(acme, valkey_url, own_server):
    for place, why in [
        ("database", "already"),
        ("http://nonsense", "begins with"),
        (f"unix://{own_server.folder}/nobody.sock", "cannot be reached"),
    ]:
        with pytest.raises(CommandError, match=why):
            call_command("movetenant", "acme", "--to", place)
    with pytest.raises(CommandError, match="no tenant"):
        call_command("movetenant", "nobody", "--to", "prefix")
    globex = Tenant.objects.get(slug="globex")
    globex.store_url = own_server.url
    globex.save()
    with pytest.raises(CommandError, match="Another tenant"):
        call_command("movetenant", "acme", "--to", own_server.url)
    talk(valkey_url, CHARLIE, "c")
    globex.store_url = ""
    globex.save()
    with pytest.raises(CommandError, match="not empty"):
        call_command("movetenant", "acme", "--to", own_server.url)
    assert Job.objects.for_tenant(acme.pk).count() == 0
    acme.refresh_from_db()
    assert not acme.store_moving


async def test_late_writes_are_merged_and_deletions_stay(stores, tenants):
    source, target = stores.tenant(1), stores.tenant(2)
    carrier = carrying.Carrier(source, target)
    for name in ("a", "b", "c", "d"):
        await source.call("HSET", f"session:{{1:1}}:{name}", "version", 3)
        await source.call("RPUSH", f"session:{{1:1}}:{name}:turns", "x")
    await source.call("ZADD", "sessions:{1:1}", 1, "a", 2, "b")
    await source.call("SET", "owner:{1:1}:a", "x", "PX", 60_000)
    assert await carrier.carry() == 10
    assert await carrier.carry() == 0
    assert 0 < await target.call("PTTL", "owner:{1:1}:a") <= 60_000
    await source.call("HSET", "session:{1:1}:a", "version", 4)  # a late append at the old place
    await source.call("RPUSH", "session:{1:1}:a:turns", "y")
    await source.call("HSET", "session:{1:1}:f", "version", 3, "edits", 2)
    await target.call("HSET", "session:{1:1}:f", "version", 3, "edits", 1)  # late, the version is the same
    await source.call("HSET", "session:{1:1}:b", "version", 4)  # late, but its session was deleted meanwhile
    await target.call("DEL", "session:{1:1}:b", "session:{1:1}:b:turns")
    await source.call("HSET", "session:{1:1}:c", "version", 4)  # late, but the new place is further
    await target.call("HSET", "session:{1:1}:c", "version", 5)
    await source.call("DEL", "session:{1:1}:d", "session:{1:1}:d:turns")  # a late deletion
    await source.call("HSET", "session:{1:1}:e", "version", 1)  # a late first turn
    await source.call("ZADD", "sessions:{1:1}", 9, "e")
    assert await carrier.merge() == 6
    assert await target.call("HGET", "session:{1:1}:f", "edits") == b"2"
    assert await target.call("HGET", "session:{1:1}:a", "version") == b"4"
    assert await target.call("LRANGE", "session:{1:1}:a:turns", 0, -1) == [b"x", b"y"]
    assert await target.call("HGET", "session:{1:1}:c", "version") == b"5"
    assert [await target.call("EXISTS", f"session:{{1:1}}:{name}") for name in "bde"] == [0, 0, 1]
    assert await target.call("ZRANGE", "sessions:{1:1}", 0, -1) == [b"a", b"b", b"e"]
    assert await carrying.empty(source) == 10


def talk(url, person, session_id):
    tenants = Cell(compile_tenants())

    async def once():
        stores = Stores([url], tenants)
        desk = sessions(stores, tenants)
        request = ChatRequest(messages=[], session_id=session_id, create_session=True, remember=True)
        session = await desk.open(person.principal, request)
        await desk.append(session, [Message("user", session_id)], Answerer("m", 1, "v"))
        await desk.close(session)
        await stores.close()

    asyncio.run(once())


def interrupted_at(monkeypatch, where):
    def stop(*_):
        raise Interrupted

    async def stop_later(*_):
        raise Interrupted

    if where == "copying":
        monkeypatch.setattr(carrying.Carrier, "carry", stop_later)
    elif where == "holding":
        hold = moving._hold
        monkeypatch.setattr(moving, "_hold", lambda *given: stop() if given[2:] else hold(*given))
    elif where == "switched":
        monkeypatch.setattr(carrying.Carrier, "merge", stop_later)
    else:
        monkeypatch.setattr(moving.jobs, "finish_job", lambda **_: stop())
