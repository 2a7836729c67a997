"""A model that can be asked, databases that have what this code needs."""

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from clawdbot_site.readiness import Migrated, some_model
from engine.types import Instance
from routing.health import Health
from routing.table import Entry


def entry(number: int, task: str = "chat", tenant_id: int | None = None) -> Entry:
    instance = Instance(id=number, name="m", task=task, tenant_id=tenant_id)
    return Entry(instance=instance, adapter=None, health=Health(jitter=lambda: 0.0))


def test_one_model_with_a_closed_breaker_is_enough():
    down, well = entry(1), entry(2)
    for _ in range(3):
        down.health.breaker.fail(False, 0.0, 0.0, erring=False)
    assert down.health.breaker.is_open
    assert not some_model([down], 0.1)
    assert some_model([down, well], 0.1)
    assert not some_model([down, entry(3, "embeddings")], 0.1)


def test_an_instance_may_be_tried_again_when_its_breaker_was_open_for_long_enough():
    down = entry(1)
    for _ in range(3):
        down.health.breaker.fail(False, 0.0, 0.0, erring=False)
    assert not some_model([down], down.health.breaker.open_until - 0.01)
    assert some_model([down], down.health.breaker.open_until)
    assert down.health.breaker.begin(down.health.breaker.open_until)  # a probe is under way
    assert not some_model([down], down.health.breaker.open_until)


def test_no_tenants_own_instance_speaks_for_the_platform():
    down, own, broken = entry(1), entry(2, tenant_id=7), entry(3, tenant_id=8)
    for each in (down, broken):
        for _ in range(3):
            each.health.breaker.fail(False, 0.0, 0.0, erring=False)
    assert not some_model([down, own], 0.1)
    assert some_model([broken], 0.1)
    assert some_model([entry(4), broken], 0.1)


def test_where_there_are_no_models_nobody_waits_for_one():
    assert some_model([], 0.0)


@pytest.mark.django_db(transaction=True)
def test_databases_that_lack_a_migration_are_found_and_newer_ones_are_fine():
    recorder = MigrationRecorder(connection)
    found = recorder.migration_qs.filter(app="tenants").order_by("-name")[:1].get()
    migrated = Migrated(["default"])
    found.delete()
    try:
        migrated._ask()
        assert migrated._lacking == ["default"]
    finally:
        recorder.record_applied("tenants", found.name)
    recorder.record_applied("tenants", "9999_of_a_newer_release")
    try:
        migrated._ask()
    finally:
        recorder.migration_qs.filter(name="9999_of_a_newer_release").delete()
    assert migrated._lacking == []


async def test_nobody_asks_again_once_they_are_migrated(monkeypatch):
    migrated = Migrated([])
    monkeypatch.setattr(migrated, "_ask", None)
    assert await migrated()


async def test_the_first_look_is_before_anybody_asks(monkeypatch):
    migrated = Migrated(["default"])
    monkeypatch.setattr(migrated, "_ask", migrated._lacking.clear)
    migrated.begin()
    await migrated._first
    monkeypatch.setattr(migrated, "_ask", None)
    assert await migrated()
