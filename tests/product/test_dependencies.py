"""What the product needs is taken away, piece by piece, and given back: it says so, refuses clearly, loses nothing, and
is back by itself. `make soak NAME=outages` takes each away for half a minute."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import httpx2
import psycopg
import pytest

from clawdbot_site.selftest import ledger
from tenants.keys import new_key
from tests.adapters.upstream import by_stream, error
from tests.product.outages import Place, standing
from tests.product.running import Product, until
from tests.product.upstreams import reset

SECONDS = float(os.environ.get("OUTAGE_SECONDS", "3"))
BACK = float(os.environ.get("OUTAGE_BACK", "60"))  # seconds it may take until all is as before
CLEAR = {(503, "audit_unavailable"), (503, "store_unavailable"), (200, "")}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with standing(tmp_path_factory.mktemp("outages")) as started:
        until(lambda: readiness(started.product) == (200, []), "it is ready")
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
    until(lambda: readiness(place.product)[0] == 200, "it is ready again")


def readiness(product: Product) -> tuple[int, list[str]]:
    with product.http("") as client:
        answer = client.get("/readyz")
    return answer.status_code, answer.json().get("failed", [])


def alive(product: Product) -> bool:
    with product.http("") as client:
        return client.get("/livez").status_code == client.get("/startupz").status_code == 200


def test_it_runs_on_postgresql(place: Place):
    product = place.product
    with product.http() as http:
        row, key = product.operate(
            "row, key = services.create_api_key(tenant=Tenant.objects.get(slug='demo'), name='pg')\n"
            "value = [row.pk, key]"
        )
        bearer = {"Authorization": f"Bearer {key}"}

        def status() -> int:
            return http.post("/api/chat", json={"message": "Hi"}, headers=bearer).status_code

        until(lambda: status() == 200, "the new key works")
        product.operate(f"services.revoke_api_key(key=ApiKey.objects.everywhere().get(pk={row}))")
        until(lambda: status() == 401, "the revoked key is refused")
        product.operate(
            "replace_words(tenant=Tenant.objects.get(slug='demo'), name='w', words=['forbidden'])\nvalue = 1"
        )
        until(lambda: http.post("/api/chat", json={"message": "forbidden"}).status_code == 400, "the word list is live")
    hits = (
        "from compliance.hit_reports import report\n"
        "value = report(SensitiveWordList.objects.everywhere().get(name='w').pk).total"
    )
    until(lambda: product.operate(hits) >= 1, "its hits are counted")
    vendors = "from django.db import connections\nvalue = [connections[each].vendor for each in ('default', 'journal')]"
    assert product.operate(vendors) == ["postgresql", "postgresql"]
    assert not (product.folder / "db.sqlite3").exists()


# Readiness ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["gone", "silent"])
@pytest.mark.parametrize("name", ["journal", "store"])
def test_it_is_unready_while_what_it_needs_is_away_and_stays_alive(place: Place, name, how):
    proxy = getattr(place, name)
    proxy.cut() if how == "gone" else setattr(proxy, "delay", 60.0)
    until(lambda: readiness(place.product) == (503, [name]), f"{name} is missed")
    assert alive(place.product)
    proxy.delay = 0.0
    proxy.mend()
    until(lambda: readiness(place.product) == (200, []), f"{name} is back")


def test_it_is_unready_while_no_model_can_be_asked(place: Place):
    place.upstream.answers(error(500), error(500), choose=by_stream)

    def missed() -> bool:
        place.product.ask()
        return readiness(place.product) == (503, ["models"])

    until(missed, "no model is left")
    assert alive(place.product)
    reset(place.upstream)
    until(lambda: {place.product.ask().status_code for _ in range(4)} == {200}, "the breaker is closed again")
    assert readiness(place.product) == (200, [])


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
        until(lambda: answers.ended > 4 and refused[200, ""], "the load runs")
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
    if answer.status_code == 503:
        assert body["retryable"] and int(answer.headers["retry-after"]) >= 1
    return answer.status_code, body["code"]


def nothing_is_lost(place: Place, answers: ledger.Ledger) -> None:
    """Every first byte has its intent and every end its completion with the same text; no call broke off."""
    holds(place)
    recorded = place.product.operate(RECORDED)
    verdict = ledger.compare(answers, {mark: ledger.Found(*turn) for mark, turn in recorded.items()}, 0)
    assert verdict.kept and verdict.answered, verdict
    assert answers.cut == 0


def holds(place: Place) -> None:
    until(lambda: place.product.operate(BALANCE), "the balance holds and nothing is open")


RECORDED = """
from django.db import connections
from clawdbot_site.selftest.recorded import recorded
connections.close_all()  # an outage before may have cut them
value = {one.mark: [one.turn_id, one.state, one.text] for one in recorded()}
"""
BALANCE = """
from django.db import connections
from compliance.journal.balance import balance
connections.close_all()
found = balance()
value = found.holds and not found.in_flight
"""


@pytest.mark.parametrize("name", ["store", "journal", "database"])
def test_an_outage_is_refused_clearly_lost_nowhere_and_over_when_it_is_over(place: Place, name):
    workers = place.product.workers()
    with asked_all_the_time(place) as (answers, refused):
        getattr(place, name).cut()
        time.sleep(SECONDS)  # the length of the outage
        getattr(place, name).mend()
        ended, good = answers.ended, refused[200, ""]
        until(lambda: answers.ended > ended + 20 and refused[200, ""] > good + 20, "it answers as before", BACK)
        began = refused.total(), answers.refused
        until(lambda: refused.total() > began[0] + 4, "more are answered")
        assert answers.refused == began[1]
    assert set(refused) <= CLEAR, refused
    assert place.product.workers() == workers  # nothing crashed
    if name == "journal":
        assert refused[503, "audit_unavailable"]
    nothing_is_lost(place, answers)


def test_callers_it_knows_go_on_without_the_main_database(place: Place):
    product = place.product
    assert product.ask().status_code == 200
    nobodys = new_key()
    place.database.cut()
    until(lambda: told(product.ask(key=nobodys)) == (503, "store_unavailable"), "it cannot say")
    assert product.ask().status_code == 200
    assert readiness(product) == (200, [])
    place.database.mend()
    until(lambda: product.ask(key=nobodys).status_code == 401, "it can say again")


def token(product: Product) -> str:
    """The administrator's."""
    person = {"username": product.access["admin_user"], "password": product.access["admin_password"]}
    with product.http("") as client:
        return str(client.post("/api/token/", json=person).json()["access"])


def test_work_for_later_is_refused_without_the_broker_and_turns_go_on(place: Place):
    product = place.product
    with product.http(token(product)) as client:
        place.broker.cut()
        refused = client.post("/api/audit/exports", json={})
        assert told(refused) == (503, "store_unavailable"), refused.text
        assert product.ask().status_code == 200
        assert readiness(product) == (200, [])
        place.broker.mend()
        job = client.post("/api/audit/exports", json={})
        assert job.status_code == 202, job.text
        path = f"/api/jobs/{job.json()['id']}"
        until(lambda: client.get(path).json()["state"] == "done", "the worker is back too")


def test_a_job_whose_worker_is_killed_is_done_by_the_next_one(place: Place):
    product = place.product
    with product.http(token(product)) as client:
        place.journal.delay = 60.0  # it hangs where it reads
        job = f"/api/jobs/{client.post('/api/audit/exports', json={}).json()['id']}"
        until(lambda: client.get(job).json()["state"] == "running", "a worker has begun it")
        before = product.child("replays")
        os.kill(before, signal.SIGKILL)
        until(lambda: product.child("replays") not in (0, before), "another worker has started")
        place.journal.delay = 0.0
        until(lambda: client.get(job).json()["state"] == "done", "it is done after all", 120)


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


# The journal refuses ------------------------------------------------------------------------------------------------

TOGETHER = 6
REFUSED = [(503, "audit_unavailable")] * TOGETHER


def asked(product: Product) -> list[tuple[int, str]]:
    """So many at once, every second as a stream: status and code of each."""
    with ThreadPoolExecutor(TOGETHER) as pool:
        return [told(answer) for answer in pool.map(lambda n: product.ask(stream=bool(n % 2)), range(TOGETHER))]


def refuses_and_recovers(place: Place, begin: Callable[[], object], end: Callable[[], object]) -> None:
    begin()
    try:
        assert asked(place.product) == REFUSED  # a call that runs already may be among these, none among the next
        before = len(place.upstream.requests)
        assert asked(place.product) == REFUSED
        assert len(place.upstream.requests) == before
        assert readiness(place.product) == (503, ["journal"])
    finally:
        end()
    until(lambda: place.product.ask().status_code == 200, "it answers again")
    holds(place)


def test_it_refuses_everything_while_the_journals_database_cannot_be_reached(place: Place):
    refuses_and_recovers(place, place.journal.cut, place.journal.mend)


def test_it_refuses_everything_while_the_journals_database_is_slow(place: Place):
    slow = partial(setattr, place.journal, "delay")
    refuses_and_recovers(place, partial(slow, 5.0), partial(slow, 0.0))


def test_it_refuses_everything_while_the_journals_database_is_full(place: Place):
    """What the server says when it is out of room, said by a trigger."""
    address = place.server.url.removesuffix("/postgres") + "/record"

    def run(statement: str) -> None:
        with psycopg.connect(address) as database:
            database.execute(statement)

    def fill() -> None:
        run("""
            CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
            CREATE TRIGGER full_disk BEFORE INSERT ON compliance_auditentry
            FOR EACH ROW EXECUTE FUNCTION full_disk()""")

    refuses_and_recovers(place, fill, partial(run, "DROP FUNCTION full_disk CASCADE"))


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

connections.close_all()  # an outage before may have cut them
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
        until(lambda: place.product.ask(key=key).status_code == 200, "a key made afterwards works")
        ended = answers.ended
        until(lambda: answers.ended > ended + 20, "it goes on")
    assert set(refused) == {(200, "")} and answers.refused == 0
    nothing_is_lost(place, answers)
    assert readiness(place.product) == (200, [])
