"""What the product needs is taken away, piece by piece, and given back: it says so, refuses clearly, loses nothing, and
is back by itself. `make soak NAME=outages` takes each away for half a minute."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx2
import pytest

from clawdbot_site.selftest import ledger
from clawdbot_site.selftest.recorded import found
from tests.adapters.upstream import by_stream, error
from tests.product.outages import Place, standing
from tests.product.running import Product, until
from tests.product.upstreams import reset

SECONDS = float(os.environ.get("OUTAGE_SECONDS", "3"))
CLEAR = {(503, "audit_unavailable"), (503, "store_unavailable"), (200, "")}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with standing(tmp_path_factory.mktemp("outages")) as started:
        yield started
    assert started.product.processes() == []


@pytest.fixture(autouse=True)
def _whole(place: Place):
    """As each test finds it."""
    yield
    for proxy in (place.database, place.journal, place.store, place.broker):
        proxy.delay = 0.0
        proxy.mend()
    reset(place.upstream)
    until(lambda: readiness(place.product)[0] == 200, "it is ready again", 60)


def readiness(product: Product) -> tuple[int, list[str]]:
    with product.http("") as client:
        answer = client.get("/readyz")
    return answer.status_code, answer.json().get("failed", [])


def alive(product: Product) -> bool:
    with product.http("") as client:
        return client.get("/livez").status_code == client.get("/startupz").status_code == 200


# Readiness ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["gone", "silent"])
@pytest.mark.parametrize("name", ["journal", "store"])
def test_it_is_unready_while_what_it_needs_is_away_and_stays_alive(place: Place, name, how):
    proxy = getattr(place, name)
    proxy.cut() if how == "gone" else setattr(proxy, "delay", 60.0)
    until(lambda: readiness(place.product) == (503, [name]), f"{name} is missed", 30)
    assert alive(place.product)
    proxy.delay = 0.0
    proxy.mend()
    until(lambda: readiness(place.product) == (200, []), f"{name} is back", 30)


def test_it_is_unready_while_no_model_can_be_asked(place: Place):
    place.upstream.answers(error(500), error(500), choose=by_stream)

    def missed() -> bool:
        place.product.ask()
        return readiness(place.product) == (503, ["models"])

    until(missed, "no model is left", 30)
    assert alive(place.product)
    reset(place.upstream)
    until(lambda: place.product.ask().status_code == 200, "the model answers again", 60)
    until(lambda: readiness(place.product) == (200, []), "it is ready", 30)


def test_asking_without_pause_costs_two_questions_a_second_and_no_row(place: Place):
    rows = "value = AuditEntry.objects.everywhere().count()"
    before = place.product.operate(rows)
    with ThreadPoolExecutor(8) as pool, place.product.http("") as client:
        assert set(pool.map(lambda _: client.get("/readyz").status_code, range(400))) == {200}
    assert place.product.operate(rows) == before


# Load over an outage --------------------------------------------------------------------------------------------------


@contextmanager
def asked_all_the_time(place: Place, clients: int = 4):
    """(ledger of all answers, how the others were refused)."""
    answers, refused, stop = ledger.Ledger(), Counter[tuple[int, str]](), threading.Event()

    def ask() -> None:
        with place.product.http() as client:
            while not stop.is_set():
                refused[told(client.post("/api/chat", json={"message": "Hello"}))] += 1
                time.sleep(0.02)

    async def play() -> None:
        over = asyncio.Event()
        product = place.product
        playing = asyncio.create_task(ledger.play(answers, product.url, product.key, clients=clients, stop=over))
        while not stop.is_set():
            await asyncio.sleep(0.05)
        over.set()
        await playing

    threads = [threading.Thread(target=ask), threading.Thread(target=lambda: asyncio.run(play()))]
    for thread in threads:
        thread.start()
    try:
        until(lambda: answers.ended > 4 and refused[200, ""], "the load runs", 60)
        yield answers, refused
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def told(answer: httpx2.Response) -> tuple[int, str]:
    """Status and code; the one error shape is checked on the way."""
    if answer.status_code == 200:
        return 200, ""
    body = answer.json()["error"]
    assert set(body) - {"param"} == {"code", "message", "request_id", "retryable"}
    assert body["retryable"] and int(answer.headers["retry-after"]) >= 1
    return answer.status_code, body["code"]


def nothing_is_lost(place: Place, answers: ledger.Ledger) -> None:
    """Every first byte has its intent and every end its completion with the same text; no call broke off."""
    until(lambda: place.product.manage("audit", "balance").returncode == 0, "the balance holds", 60)
    lines = place.product.manage("selftest", "recorded").stdout.splitlines()
    verdict = ledger.compare(answers, found(iter(lines)), 0)
    assert verdict.kept and verdict.answered, verdict
    assert answers.cut == 0


@pytest.mark.parametrize("name", ["store", "journal", "database"])
def test_an_outage_is_refused_clearly_lost_nowhere_and_over_when_it_is_over(place: Place, name):
    workers = place.product.workers()
    with asked_all_the_time(place) as (answers, refused):
        getattr(place, name).cut()
        time.sleep(SECONDS)  # the length of the outage
        getattr(place, name).mend()
        ended, good = answers.ended, refused[200, ""]
        until(lambda: answers.ended > ended + 20 and refused[200, ""] > good + 20, "it answers as before", 60)
        began = refused.total(), answers.refused
        time.sleep(0.5)
        assert refused.total() > began[0] and answers.refused == began[1]
    assert set(refused) <= CLEAR, refused
    assert place.product.workers() == workers  # nothing crashed
    if name == "journal":
        assert refused[503, "audit_unavailable"]
    nothing_is_lost(place, answers)


def test_callers_it_knows_go_on_without_the_main_database(place: Place):
    product = place.product
    assert product.ask().status_code == 200
    place.database.cut()
    until(lambda: told(product.ask(key="cb_nobody_knows_this_one")) == (503, "store_unavailable"), "it cannot say", 30)
    assert product.ask().status_code == 200
    assert readiness(product) == (200, [])
    place.database.mend()
    until(lambda: product.ask(key="cb_nobody_knows_this_one").status_code == 401, "it can say again", 30)


def test_work_for_later_is_refused_without_the_broker_and_turns_go_on(place: Place):
    product = place.product
    place.broker.cut()
    with product.http() as client:
        refused = client.post("/api/audit/exports", json={})
    assert told(refused) == (503, "store_unavailable"), refused.text
    assert product.ask().status_code == 200
    assert readiness(product) == (200, [])
    place.broker.mend()
    with product.http() as client:
        job = client.post("/api/audit/exports", json={})
        assert job.status_code == 202, job.text
        path = f"/api/jobs/{job.json()['id']}"
        until(lambda: client.get(path).json()["state"] == "done", "the worker is back too", 60)


def test_turns_go_on_without_object_storage(place: Place):
    product = place.product
    objects = product.folder / "objects"
    aside = product.folder / "objects-aside"
    if objects.exists():
        objects.rename(aside)
    objects.touch()  # no folder: whatever is read or written there fails
    try:
        assert product.ask().status_code == 200
        assert readiness(product) == (200, [])
    finally:
        objects.unlink()
        if aside.exists():
            aside.rename(objects)


# The databases of the next release ------------------------------------------------------------------------------------

WIDER = """
from django.apps import apps
from django.db import connections, migrations
from django.db import models as fields
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState
from clawdbot_site.migrating import patiently
from tenants.indexes import AddIndexConcurrently

def more(**options):
    return fields.CharField(max_length=20, **options)

STEPS = {
    "default": [
        ("tenants", migrations.AddField("tenant", "later", more(null=True))),
        ("tenants", migrations.AddField("apikey", "later", more(db_default="x"))),
        ("routing", migrations.AddField("modelinstance", "later", more(null=True))),
        ("tenants", AddIndexConcurrently("apikey", fields.Index(fields=["later"], name="key_by_later"))),
        ("tenants", migrations.CreateModel("Later", [("id", fields.BigAutoField(primary_key=True))])),
    ],
    "journal": [
        ("compliance", migrations.AddField("auditentry", "later", more(null=True))),
        ("compliance", migrations.AddField("usagerow", "later", fields.BigIntegerField(db_default=0))),
        ("compliance", AddIndexConcurrently("auditentry", fields.Index(fields=["later"], name="entry_by_later"))),
    ],
}

def apply(alias, label, operation, state):
    after = state.clone()
    operation.state_forwards(label, after)
    with connections[alias].schema_editor(atomic=operation.atomic is not False) as editor:
        operation.database_forwards(label, editor, state, after)
    return after

for alias, steps in STEPS.items():
    state = ProjectState.from_apps(apps)
    for label, operation in steps:
        done = []
        patiently(connections[alias], lambda: done.append(apply(alias, label, operation, state)),
                  lock_timeout=2, patience=60, say=print)
        state = done[-1]
    MigrationRecorder(connections[alias]).record_applied("tenants", "9999_of_the_next_release")
value = 1
"""


def test_the_databases_of_the_next_release_serve_this_one(place: Place):
    """They are widened under load, and new rows are made by code that knows nothing of it."""
    with asked_all_the_time(place) as (answers, refused):
        place.product.operate(WIDER.replace("print", "str"))
        key = place.product.operate(
            "value = services.create_api_key(tenant=Tenant.objects.get(slug='demo'), name='later')[1]\n"
            "[row.save() for row in ModelInstance.objects.everywhere()]"
        )
        until(lambda: place.product.ask(key=key).status_code == 200, "a key made afterwards works", 30)
        ended = answers.ended
        until(lambda: answers.ended > ended + 20, "it goes on", 60)
    assert set(refused) == {(200, "")} and answers.refused == 0
    nothing_is_lost(place, answers)
    assert readiness(place.product) == (200, [])
