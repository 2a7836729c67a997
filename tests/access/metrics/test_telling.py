import asyncio
import contextlib
import os
import threading
from functools import partial

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families

from access.metrics import Metrics, families
from access.metrics.machine import folder_of
from access.metrics.names import Labels
from access.metrics.series import Book
from access.metrics.telling import Aside, Teller
from engine.types import Usage


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr("access.metrics.telling.EVERY", 0.02)


@contextlib.asynccontextmanager
async def workers(folder, *kinds, **limits):
    """Metrics of as many processes, which have told once."""
    started = [Metrics(**limits) for _ in kinds]
    for metrics, kind in zip(started, kinds, strict=True):
        metrics.start(folder, kind, "1.2.3")
    while len(list(folder_of(folder).glob("*-*.counts"))) < len(kinds):
        await asyncio.sleep(0.01)
    yield started
    for metrics in started:
        await metrics.stop()


async def values(metrics, name, accept=""):
    page, _ = await metrics.page(accept)
    return {
        tuple(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
        if sample.name == name
    }


async def until(seen, wanted):
    async with asyncio.timeout(20):
        while (found := await seen()) != wanted:
            await asyncio.sleep(0.01)
    return found


def turn(metrics, tenant="acme", state="completed"):
    metrics.turn(tenant=tenant, model="m", edge="rest", state=state, ttft=None, duration=0.1, usage=Usage(1, 2))


async def test_whoever_is_asked_tells_of_all(tmp_path):
    async with workers(tmp_path, "web", "web", "grpc") as all_of_them:
        for metrics in all_of_them:
            turn(metrics)
            metrics.request("/api/chat", "POST", 200, 0.3)
            metrics.sockets.inc()
        for metrics in all_of_them:
            await until(partial(values, metrics, "clawdbot_turns_total"), {("rest", "completed", "acme"): 3})
            await until(partial(values, metrics, "clawdbot_websockets"), {(): 3})
            seconds = await values(metrics, "http_request_seconds_bucket")
            assert seconds["0.25", "/api/chat"] == 0 and seconds["0.5", "/api/chat"] == 3
            assert await values(metrics, "clawdbot_info") == {("1.2.3",): 1}
            up = await values(metrics, "clawdbot_worker_up")
            assert up == {("web-0",): 1, ("web-1",): 1, ("grpc-0",): 1}
            memory = await values(metrics, "process_resident_memory_bytes")
            assert memory.keys() == {("web", "web-0"), ("web", "web-1"), ("grpc", "grpc-0")}
            assert all(1 << 20 < size < 1 << 40 for size in memory.values())
            assert all(spent > 0 for spent in (await values(metrics, "process_cpu_seconds_total")).values())


async def test_what_is_told_apart_is_the_machines(tmp_path):
    """Each of two processes has its own tenants; sums of what was seen never go down."""
    async with workers(tmp_path, "web", "web", tenants=5) as (one, other):
        seen = {}
        for number in range(12):
            turn(one, f"a{number}")
            turn(other, f"b{number}")
            await asyncio.sleep(0.005)
            for metrics in (one, other):
                found = await values(metrics, "clawdbot_turns_total")
                assert all(found.get(key, 0) >= had for key, had in seen.items())
                seen = found
        totals = await until(lambda: _sum(one, "clawdbot_turns_total"), 24) and await values(
            one, "clawdbot_turns_total"
        )
        assert len(totals) == 6 and totals["rest", "completed", "other"] == 24 - 5
        await until(lambda: values(other, "clawdbot_turns_total"), totals)


async def _sum(metrics, name):
    return sum((await values(metrics, name)).values())


async def test_what_one_that_ended_has_counted_stays(tmp_path):
    async with workers(tmp_path, "web", "web") as (one, other):
        turn(other)
        await other.stop()
        assert await values(one, "clawdbot_turns_total") == {("rest", "completed", "acme"): 1}
        assert list((await values(one, "clawdbot_worker_up")).values()) == [1]


async def test_the_completion_ratio_is_of_the_machines_turns(tmp_path):
    async with workers(tmp_path, "web", "web") as (one, other):
        assert await values(one, "clawdbot_completion_ratio") == {}
        for metrics, state in ((one, "completed"), (one, "refused"), (other, "failed"), (other, "aborted")):
            turn(metrics, state=state)
        await until(lambda: values(one, "clawdbot_completion_ratio"), {(): 1 / 3})


async def test_the_completion_ratio_forgets(monkeypatch):
    now = 1000.0
    monkeypatch.setattr("access.metrics.counting.time.monotonic", lambda: now)
    metrics = Metrics()
    turn(metrics, state="failed")
    assert metrics._recent() == (0, 1)
    now += 299
    turn(metrics)
    assert metrics._recent() == (1, 1)
    now += 2
    assert metrics._recent() == (1, 0)
    now += 400
    assert metrics._recent() == (0, 0)


async def test_it_tells_of_itself_where_there_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    metrics = Metrics()
    metrics.start(tmp_path / "file", "web", "1")
    turn(metrics)
    for _ in range(3):
        assert await values(metrics, "clawdbot_turns_total") == {("rest", "completed", "acme"): 1}
        await asyncio.sleep(0.01)
    await metrics.stop()


async def test_a_gauge_that_cannot_be_read_stops_nothing(tmp_path):
    async with workers(tmp_path, "web", "web") as (one, other):
        trouble = [True, True, True]
        other.book.watch(families.STREAMS, lambda: {(): 1.0 / (not (trouble and trouble.pop()))})
        turn(other)
        await until(lambda: values(one, "clawdbot_turns_total"), {("rest", "completed", "acme"): 1})
        assert trouble == [] and await values(one, "clawdbot_streams_open") == {(): 1}


async def test_it_answers_where_the_disk_hangs(tmp_path, monkeypatch):
    monkeypatch.setattr("access.metrics.telling.PATIENCE", 0.05)
    release = threading.Event()
    async with workers(tmp_path, "web") as (metrics,):
        monkeypatch.setattr("access.metrics.machine.Machine.others", lambda _: release.wait(20) and [])
        turn(metrics)
        assert await values(metrics, "clawdbot_turns_total") == {("rest", "completed", "acme"): 1}
        release.set()


async def test_readers_of_openmetrics_get_that(tmp_path):
    metrics = Metrics()
    turn(metrics, 'a "quoted"\\\nname')
    metrics.request("/api/chat", "POST", 200, 0.3)
    page, kind = await metrics.page("application/openmetrics-text; version=1.0.0,text/plain;q=0.5")
    assert kind.startswith("application/openmetrics-text") and page.endswith(b"# EOF\n")
    assert {family.name for family in open_families(page.decode())} >= {"clawdbot_turns", "http_request_seconds"}
    page, kind = await metrics.page("text/plain")
    assert kind.startswith("text/plain")
    found = await values(metrics, "clawdbot_turns_total")
    assert found == {("rest", "completed", 'a "quoted"\\\nname'): 1}


def test_a_process_without_an_event_loop_has_a_thread_for_it(tmp_path):
    book = Book(Labels(0, 0))
    aside = Aside(Teller(book, tmp_path, "worker"))
    aside.start()
    aside.stop()
    aside.stop()
    assert [path.name for path in folder_of(tmp_path).glob("*.counts")] == ["worker-0.counts"]
    assert not any(thread.name == "metrics" for thread in threading.enumerate())
    assert os.path.getsize(folder_of(tmp_path) / "worker-0.counts") > 50
