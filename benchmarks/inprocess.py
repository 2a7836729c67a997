"""CPU microseconds a request by layer, without sockets: `python -m benchmarks.inprocess [--rounds N] [--only NAME]`.

Drives the real ASGI application with everything on (real Valkey and journal; the upstream's bytes are canned behind the
seam of `engine.outbound`) with 32 requests at a time, and each layer by itself. Figures are the process's CPU time,
threads included, without the driver's own: the median over the rounds and the least. Others who use the machine slow
its caches and cores down but take no CPU time, so the least holds nearly still. What is left out are the web server and
the HTTP client: `benchmarks.gateway` measures those."""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import json
import pstats
import shutil
import statistics
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import uvloop
from django.conf import settings

from access.asgi import App, Receive, Scope, Send, respond
from benchmarks import rows, workload  # first: rows sets Django up
from benchmarks.canned import ENDPOINT, CannedHttp
from benchmarks.layers import PEER, Layers, authenticator
from clawdbot_site.asgi import create
from clawdbot_site.serving import valkey
from clawdbot_site.serving.processes import Child
from clawdbot_site.wiring import Application

TOGETHER = 32  # requests at a time
BATCH = 640  # requests a round


class Caller:
    """Requests as a server would hand them to an application, one conversation each."""

    def __init__(self, app: App, path: str, key: str, talk: workload.Talk) -> None:
        self._app = app
        self._path = path
        self._headers = [
            (b"host", b"127.0.0.1:8000"),
            (b"content-type", b"application/json"),
            (b"authorization", b"Bearer " + key.encode()),
            (b"content-length", b"330"),
        ]
        self._talk = talk
        self._sent: list[bytes] = []

    async def ask(self, number: int) -> None:
        """Raises AssertionError unless it is answered with 200."""
        lines, body = self._talk.say(number)
        headers = list(self._headers)
        if lines:
            name, _, value = lines.strip().partition(": ")
            headers.append((name.lower().encode(), value.encode()))
        asked = False

        async def receive() -> dict[str, object]:
            nonlocal asked
            if asked:
                await asyncio.Event().wait()
            asked = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(_scope(self._path, headers), receive, self._send)
        if self._talk.hears:
            self._talk.hear(b"".join(self._sent))
        self._sent.clear()

    def scope(self) -> dict[str, object]:
        return _scope(self._path, list(self._headers))

    async def _send(self, event: dict[str, object]) -> None:  # type: ignore[override]
        if event["type"] == "http.response.start":
            assert event["status"] == 200, event
        elif self._talk.hears:
            self._sent.append(event["body"])  # type: ignore[arg-type]


def _scope(path: str, headers: list[tuple[bytes, bytes]]) -> dict[str, object]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }


Figures = dict[str, tuple[float, float]]
Work = Callable[[int], Awaitable[object]]  # one request of a worker, given a running number


async def cost(works: list[Work], count: int) -> float:
    """CPU microseconds each, of `count` calls shared by the workers."""
    numbers = iter(range(count))

    async def worker(work: Work) -> None:
        for number in numbers:
            await work(number)

    began = time.process_time()
    await asyncio.gather(*map(worker, works))
    return (time.process_time() - began) / count * 1e6


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that does nothing: what is left is the driver."""
    await receive()
    await respond(send, 200, b'{"session_id":"00000000000000000000000000000000"}', [])


def whole(app: App, keys: dict[str, str]) -> dict[str, list[Work]]:
    """What is measured from end to end."""

    def calls(path: str, tenant: str, talk: Callable[[], workload.Talk]) -> list[Work]:
        return [Caller(app, path, keys[tenant], talk()).ask for _ in range(TOGETHER)]

    plain, streamed = workload.openai(), workload.openai(stream=True)
    apart = workload.openai(stream=True, apart=True)
    completions = "/v1/chat/completions"
    return {
        "/v1, everything on": calls(completions, "full", lambda: workload.Talk(plain)),
        "/v1, everything on, with a session": calls(completions, "full", lambda: workload.NamedSessions(plain)),
        "/api/chat, everything on (with a session)": calls("/api/chat", "full", workload.GivenSessions),
        "/v1, everything on, stream of 32 chunks": calls(completions, "full", lambda: workload.Talk(streamed)),
        "/v1, everything on, 32 chunks one by one": calls(completions, "full", lambda: workload.Talk(apart)),
        "/v1, only key check, journal, metrics": calls(completions, "plain", lambda: workload.Talk(plain)),
        "/v1, the same, stream of 32 chunks": calls(completions, "plain", lambda: workload.Talk(streamed)),
    }


async def layers(application: Application, key: str) -> dict[str, list[Work]]:
    headers = [(b"content-type", b"application/json"), (b"authorization", b"Bearer " + key.encode())]
    known = authenticator(application)
    principal = await known.authenticate(headers, PEER)
    return Layers(application, known, principal, headers, TOGETHER).works()


@asynccontextmanager
async def started(application: Application):  # type: ignore[no-untyped-def]
    await application.startup()
    try:
        yield application
    finally:
        await application.drain()
        await application.shutdown()


async def measure(
    application: Application, keys: dict[str, str], rounds: int, only: str, batch: int = BATCH
) -> Figures:
    """Microseconds by name: median and least."""
    async with started(application):
        works = {**whole(application.app, keys), **await layers(application, keys["full"])}
        return await sampled(works, whole(nothing, keys), rounds, only, batch)


async def sampled(
    works: dict[str, list[Work]], drivers: dict[str, list[Work]], rounds: int, only: str = "", batch: int = BATCH
) -> Figures:
    """Each in turn, round after round, less what its driver alone takes: the median less the driver's median, the least
    less the driver's least. Subtracting round by round would make the least that of the slowest driver."""
    works = {name: work for name, work in works.items() if only in name}
    samples: dict[str, list[float]] = {name: [] for name in works}
    driving: dict[str, list[float]] = {name: [] for name in works}
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)  # as a web worker does
    for number in range(rounds + 1):
        for name, work in works.items():
            sample = await cost(work, batch)
            driver = await cost(drivers[name], batch) if name in drivers else 0.0
            if number:  # the first one warms up
                samples[name].append(sample)
                driving[name].append(driver)
    return {
        name: (statistics.median(sample) - statistics.median(driving[name]), min(sample) - min(driving[name]))
        for name, sample in samples.items()
    }


def start_valkey() -> Child:
    child = valkey.child(
        folder=Path(settings.VAR_DIR) / "valkey",
        socket=settings.VALKEY_SOCKET,
        databases=settings.VALKEY_DATABASES,
        log=Path(settings.VAR_DIR) / "valkey.log",
    )
    child.start()
    valkey.wait_until_ready(settings.VALKEY_SOCKET, lambda: child.exit_code is not None)
    return child


@contextmanager
def prepared() -> Iterator[tuple[Application, dict[str, str]]]:
    """An application that is not started, and its keys. The Valkey it will use, and all it keeps, is there within the
    block."""
    child = start_valkey()
    try:
        rows.migrate()
        keys = rows.fill(ENDPOINT)
        application = create()
        application.http = CannedHttp()  # type: ignore[assignment]
        yield application, keys
    finally:
        child.ask_to_stop()
        child.wait(5.0)
        shutil.rmtree(settings.VAR_DIR, ignore_errors=True)


def show(figures: Figures) -> None:
    print(f"{'median':>9} {'least':>9}  CPU µs")
    for name, (median, least) in figures.items():
        print(f"{median:9.1f} {least:9.1f}  {name}")


def profiled(measuring: Coroutine[object, object, Figures]) -> Figures:
    """The same, with the functions that took longest; calls cost several times what they do otherwise."""
    profiler = cProfile.Profile(time.thread_time)
    with profiler:
        figures = uvloop.run(measuring)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(45)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--only", default="", help="part of a name")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--profile", action="store_true", help="prints where the time goes, by function")
    asked = parser.parse_args()
    with prepared() as (application, keys):
        measuring = measure(application, keys, asked.rounds, asked.only, asked.batch)
        figures = profiled(measuring) if asked.profile else uvloop.run(measuring)
    show(figures)
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
