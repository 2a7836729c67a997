"""Main database and journal on PostgreSQL, owned by a role that is no superuser, with tenants kept apart by it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connections

from compliance.analysis import reader, storing
from compliance.analysis.reader import DAY
from compliance.models import InsightCount, InsightQuestions
from compliance.usage.reader import Period
from tenants import walls
from tenants.models import Tenant
from tests.clawdbot_site import walled
from tests.compliance.analysis.journal import NOON, Journal, counts, turn
from tests.compliance.journals import KEYS
from tests.conftest import VAR_DIR
from tests.services.postgres import PostgresServer

pytestmark = pytest.mark.timeout(300)  # a server, with every migration
WHOLE = Period(NOON - DAY, NOON + DAY)


@pytest.fixture
def journal(django_db_blocker, monkeypatch) -> Iterator[Journal]:
    monkeypatch.setattr("tenants.stored_keys.stored", KEYS.get)
    server = PostgresServer(Path(tempfile.mkdtemp(prefix="analysed-", dir=VAR_DIR)), options=["-c", "fsync=off"])
    server.start()
    try:
        addresses = walled.prepared(server, "analysed")
        with django_db_blocker.unblock(), walled.pointed(addresses):
            walled.migrate()
            for number in (1, 2):
                Tenant.objects.bulk_create(
                    [Tenant(id=number, slug=f"t{number}", name=f"T {number}", store_database=100 + number)]
                )
            yield Journal(addresses["journal"])
    finally:
        server.kill()


def test_it_counts_once_and_a_request_sees_its_own_tenants_sums(journal, monkeypatch):
    features = {"language": "zh", "intent": "refund", "intent_score": 0.9}
    journal.write(*turn(features=features, session="s"), *turn(features=features, state="failed"))
    journal.write(*turn("Where is it?", tenant_id=2, state="cancelled", session="t"))
    with monkeypatch.context() as broken, pytest.raises(ConnectionError):
        broken.setattr(storing, "_ends", lambda *_: (_ for _ in ()).throw(ConnectionError("in the middle")))
        journal.analyse()
    assert counts() == counts(2) == {}, "nothing of a page that was not stored whole"
    later = 1_800_000_000.0 + DAY
    connections["journal"].close()
    assert journal.analyse(now=lambda: later).entries == 6
    for _ in range(2):
        assert counts(what="turns") == {(0, "rest", "completed"): 1, (0, "rest", "failed"): 1}
        assert counts(what="intent") == {(0, "refund", "completed"): 1, (0, "refund", "failed"): 1}
        assert counts(2, "turns") == {(0, "rest", "cancelled"): 1}
        assert counts(2, "session") == {(0, "opened", ""): 1, (0, "abandoned", ""): 1}
        assert journal.analyse(now=lambda: later).entries == 0
    with walls.within(1):
        for model in (InsightCount, InsightQuestions):
            assert set(model._base_manager.values_list("tenant_id", flat=True)) == {1}
        assert reader.states(1, WHOLE).turns == 2
        assert reader.states(2, WHOLE).turns == 0
    storing.clear(1)
    assert journal.analyse(now=lambda: later).entries == 4 and reader.states(1, WHOLE).turns == 2
