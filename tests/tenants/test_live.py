import threading
import time

import pytest
from django.db import connection

from engine.snapshots import Cell
from tenants.directory import TenantTable, compile_tenants
from tenants.live import CHANNEL, LiveConfig, announce, bus
from tenants.models import ConfigVersion, Tenant
from tests.services.valkey import ValkeyServer

PATIENCE = 10
AWAY = "unix:///nonexistent/valkey.sock"


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


@pytest.fixture
def start():
    running = []

    def start(bus_url, **options):
        live = LiveConfig(bus_url, **options)
        cell = Cell(TenantTable())
        live.register("tenants", compile_tenants, cell.swap)
        live.load()
        live.start()
        running.append(live)
        return live, cell

    yield start
    for live in running:
        live.stop()


def test_it_makes_a_saved_change_live_in_every_process_over_the_bus(transactional_db, cast, valkey_url, start):
    cells = [start(valkey_url, interval=60)[1] for _ in range(2)]
    until(lambda: listeners(valkey_url) == 2)
    cast.acme.name = "Acme & Sons"
    cast.acme.save()
    until(lambda: all(cell.value.by_slug["acme"].name == "Acme & Sons" for cell in cells))


def listeners(url):
    with bus(url, 1) as client:
        return dict(client.pubsub_numsub(CHANNEL))[CHANNEL.encode()]


def test_it_makes_a_saved_change_live_by_polling_while_the_bus_is_away(transactional_db, cast, settings, start, caplog):
    settings.VALKEY_NODES = [AWAY]
    cells = [start(AWAY, interval=0.1)[1] for _ in range(2)]
    cast.acme.is_active = False
    cast.acme.save()
    until(lambda: not any(cell.value.by_id[1].is_active for cell in cells))
    assert "the change bus is away" in caplog.text


def test_it_hears_of_changes_again_after_the_bus_was_away(transactional_db, cast, tmp_path, settings, start):
    server = ValkeyServer(tmp_path)
    server.start()
    try:
        settings.VALKEY_NODES = [server.url]
        _, cell = start(server.url, interval=0.2)
        until(lambda: listeners(server.url) == 1)
        server.kill()
        Tenant.objects.create(slug="initech", name="Initech", store_database=40)
        until(lambda: "initech" in cell.value.by_slug)
        server.start()
        until(lambda: listeners(server.url) == 1)
    finally:
        server.stop()


def test_it_compiles_off_the_calling_thread_and_only_what_changed(transactional_db, cast, settings):
    settings.VALKEY_NODES = [AWAY]
    compiled = []
    live = LiveConfig(AWAY, interval=0.05)
    for section in ("tenants", "keys", "keys"):
        live.register(section, lambda s=section: (s, threading.get_ident()), compiled.append)
    live.load()
    assert [section for section, _ in compiled] == ["tenants", "keys", "keys"]
    assert {thread for _, thread in compiled} == {threading.get_ident()}
    live.start()
    try:
        announce("keys")
        until(lambda: len(compiled) == 5)
    finally:
        live.stop()
    assert [section for section, _ in compiled[3:]] == ["keys", "keys"]
    assert threading.get_ident() not in {thread for _, thread in compiled[3:]}


def test_it_lets_nothing_wait_for_a_slow_compilation(transactional_db, cast, settings):
    settings.VALKEY_NODES = [AWAY]
    gate, began, compiled = threading.Event(), threading.Event(), []
    live = LiveConfig(AWAY, interval=0.05)

    def compile_slowly():
        began.set()
        gate.wait(PATIENCE)
        return f"guard {threading.current_thread().name}"

    gate.set()
    live.register("guard", compile_slowly, compiled.append, slow=True)
    live.register("routing", lambda: "routing", compiled.append, slow=True)
    live.register("keys", lambda: "keys", compiled.append)
    live.load()
    gate.clear()
    began.clear()
    del compiled[:]
    live.start()
    try:
        announce("guard")
        until(began.is_set)
        announce("keys")
        until(lambda: compiled == ["keys"])
        announce("routing")
        until(lambda: compiled == ["keys", "routing"])
        gate.set()
        until(lambda: compiled[2:] == ["guard live-guard"])
    finally:
        gate.set()
        live.stop()


def test_it_compiles_once_more_what_changed_during_a_slow_compilation(transactional_db, cast):
    gate, began, compiled = threading.Semaphore(1), threading.Semaphore(0), []
    live = LiveConfig(AWAY)

    def compile():
        names = set(compile_tenants().by_slug)
        began.release()
        assert gate.acquire(timeout=PATIENCE)
        return names

    live.register("tenants", compile, compiled.append, slow=True)
    live.load()
    assert began.acquire(timeout=PATIENCE)
    for slug, database in (("initech", 40), ("hooli", 41)):
        Tenant.objects.create(slug=slug, name=slug, store_database=database)
        live.look()
        if slug == "initech":
            assert began.acquire(timeout=PATIENCE)  # under way: has read its rows
    gate.release(2)
    until(lambda: len(compiled) == 3)
    live.stop()
    assert compiled[1:] == [{"acme", "globex", "initech"}, {"acme", "globex", "initech", "hooli"}]


def test_it_lives_with_a_bus_whose_name_is_impossible(transactional_db, cast, settings, start, caplog):
    settings.VALKEY_NODES = ["redis://a..b/0"]
    _, cell = start("redis://a..b/0", interval=0.05)
    cast.acme.name = "Acme & Sons"
    cast.acme.save()
    until(lambda: cell.value.by_slug["acme"].name == "Acme & Sons")
    assert "the change bus is away" in caplog.text


def test_it_keeps_the_old_snapshot_of_a_broken_section_and_tries_again(transactional_db, cast, caplog):
    values = [Cell(0), Cell(0)]
    broken = threading.Event()

    def compile():
        if broken.is_set():
            raise ValueError("a row that cannot be compiled")
        return values[0].value + 1

    live = LiveConfig(AWAY)
    live.register("words", compile, values[0].swap)
    live.register("words", lambda: values[1].value + 1, values[1].swap)
    live.load()
    broken.set()
    announce("words")
    live.look()
    live.look()
    assert [cell.value for cell in values] == [1, 2]
    assert caplog.text.count("section words version 1 cannot be compiled") == 1
    broken.clear()
    live.look()
    assert [cell.value for cell in values] == [2, 2]


def test_it_keeps_everything_while_the_database_is_away(transactional_db, cast, caplog):
    live = LiveConfig(AWAY)
    cell = Cell(TenantTable())
    live.register("tenants", compile_tenants, cell.swap)
    live.load()
    with connection.schema_editor() as editor:
        editor.alter_db_table(ConfigVersion, "tenants_configversion", "elsewhere")
    try:
        live.look()
        live.look()
    finally:
        with connection.schema_editor() as editor:
            editor.alter_db_table(ConfigVersion, "elsewhere", "tenants_configversion")
    assert set(cell.value.by_slug) == {"acme", "globex"}
    assert caplog.text.count("the configuration cannot be read") == 1
    Tenant.objects.create(slug="initech", name="Initech", store_database=40)
    live.look()
    assert "initech" in cell.value.by_slug


def test_it_does_not_lose_a_change_made_while_it_compiles(transactional_db, cast):
    live = LiveConfig(AWAY)
    cell = Cell(TenantTable())
    change_once = [True]

    def compile():
        table = compile_tenants()
        if change_once.pop() if change_once else False:
            Tenant.objects.create(slug="initech", name="Initech", store_database=40)
        return table

    live.register("tenants", compile, cell.swap)
    live.load()
    assert "initech" not in cell.value.by_slug
    live.look()
    assert "initech" in cell.value.by_slug
