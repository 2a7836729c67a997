"""One model call a key: equal requests race over several workers, the store is flushed, workers are killed.

    python -m benchmarks.idempotency [--rounds 30] [--keys 20] [--racers 50] [--workers 3] [--postgres]
    python -m benchmarks.idempotency --latency 300 [--workers 1] [--postgres]

Starts the product in a folder of its own. Every round has new keys; with each so many equal requests race, and are sent
again until they are answered. In every second round Valkey is flushed meanwhile, in every third a worker is killed
(-9). Exit 1: a key had two answers, or more calls than one and those that were cut by a kill. `--latency`: one client
asks so often without a key, with a new one and with one that was answered, by turns."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
import redis
from aiohttp import web

from clawdbot_site.databases import socket_path
from clawdbot_site.selftest.instance import Instance
from clawdbot_site.selftest.postgres import PostgresServer

PATIENCE: Final = 60.0  # seconds until what a killed worker left is ended and its keys are free
PACE: Final = 0.03  # seconds the model takes
REQUESTS: Final = {
    "/api/chat": {},
    "/api/chat stream": {"stream": True},
    "/v1/chat/completions": {},
    "/v1/embeddings": {},
}


@dataclass(frozen=True)
class Plan:
    rounds: int = 30
    keys: int = 20
    racers: int = 50
    workers: int = 3
    postgres: bool = False
    latency: int = 0


@dataclass
class Result:
    """`wrong` are the keys that broke the promise, and how."""

    keys: int = 0
    requests: int = 0
    calls: int = 0
    replays: int = 0
    running: int = 0
    flushes: int = 0
    kills: int = 0
    balanced: bool = False
    wrong: list[str] = field(default_factory=list)
    medians: dict[str, float] = field(default_factory=dict)

    @property
    def kept(self) -> bool:
        return self.balanced and not self.wrong and self.keys > 0


class CountingModel:
    """Answers every call with another text; `calls` counts by what was asked."""

    def __init__(self, pace: float = PACE) -> None:
        self.calls: Counter[str] = Counter()
        self._pace = pace
        self.url = ""
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        app.router.add_post("/v1/embeddings", self._embed)
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        text = asked["messages"][-1]["content"]
        self.calls[text] += 1
        number = self.calls.total()
        await asyncio.sleep(self._pace)
        said = f"call {number} for {text}"
        usage = {"prompt_tokens": number, "completion_tokens": 1, "total_tokens": number + 1}
        if not asked.get("stream"):
            message = {"role": "assistant", "content": said}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            return web.json_response({"choices": [choice], "usage": usage})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        with contextlib.suppress(ConnectionResetError):
            await response.prepare(request)
            for delta, finish in (({"content": said}, None), ({}, "stop")):
                chunk = {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": usage}
                await response.write(b"data: " + web.json_response(chunk).body + b"\n\n")  # type: ignore[operator]
            await response.write(b"data: [DONE]\n\n")
        return response

    async def _embed(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
        self.calls[texts[0]] += 1
        await asyncio.sleep(PACE)
        data = [{"index": place, "embedding": [self.calls.total() + 0.1, 0.25]} for place, _ in enumerate(texts)]
        return web.json_response({"data": data, "usage": {"prompt_tokens": 1, "total_tokens": 1}})


class Racers:
    """Sends equal requests until each has the answer of its key."""

    def __init__(self, instance: Instance, session: aiohttp.ClientSession, result: Result) -> None:
        self._instance = instance
        self._session = session
        self._result = result

    async def race(self, kind: str, key: str, count: int) -> set[bytes]:
        """The different answers to `count` requests at once."""
        path, _, stream = kind.partition(" ")
        body = {"input": key} if "embeddings" in path else {"messages": [{"role": "user", "content": key}]}
        answers = await asyncio.gather(*(self._ask(path, key, {**body, **REQUESTS[kind]}) for _ in range(count)))
        return {_what_it_says(answer) if stream else answer for answer in answers}

    async def _ask(self, path: str, key: str, body: dict[str, object]) -> bytes:
        headers = {"Authorization": f"Bearer {self._instance.key}", "Idempotency-Key": key}
        until = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                self._result.requests += 1
                async with self._session.post(self._instance.url + path, json=body, headers=headers) as response:
                    answer = await response.read()
                    if response.status == 200 and not answer.startswith(b"event: error"):
                        self._result.replays += "Idempotent-Replayed" in response.headers
                        return answer
                    self._result.running += response.status == 409
                    if response.status not in (409, 502, 503):
                        raise RuntimeError(f"{path}: {response.status} {answer[:300]!r}")
            if time.monotonic() > until:
                raise RuntimeError(f"{path}: no answer within {PATIENCE:.0f} s")
            await asyncio.sleep(0.05)


def _what_it_says(stream: bytes) -> bytes:
    """A stream and its replay have the same last event; its number differs."""
    return next(line for line in stream.split(b"\n") if line.startswith(b"data: ") and b'"finish_reason"' in line)


async def run(plan: Plan, folder: Path) -> Result:
    result, model = Result(), CountingModel(0.0 if plan.latency else PACE)
    await model.start()
    settings = {"MODEL_ENDPOINT": model.url, "MODEL_NAME": "counted", "API_KEY": "none", "LOCAL_MODEL": "off"}
    server = PostgresServer(folder / "postgres") if plan.postgres else None
    instance = Instance(folder / "var", WORKERS=str(plan.workers), **settings)
    try:
        if server is not None:
            await asyncio.to_thread(server.start)
            instance.environment["JOURNAL_URL"] = server.database("journal")
        await asyncio.to_thread(instance.start)
        await asyncio.to_thread(_add_embeddings, instance, model.url)
        limits = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        async with aiohttp.ClientSession(connector=limits, timeout=timeout) as session:
            if plan.latency:
                result.medians = await _latency(instance, session, plan.latency)
                return result
            for number in range(1, plan.rounds + 1):
                await _round(number, plan, instance, Racers(instance, session, result), model, result)
        result.calls = model.calls.total()
        result.balanced = await asyncio.to_thread(_balanced, instance)
        return result
    finally:
        await asyncio.to_thread(instance.stop)
        await model.stop()
        if server is not None:
            await asyncio.to_thread(server.stop)


async def _round(
    number: int, plan: Plan, instance: Instance, racers: Racers, model: CountingModel, result: Result
) -> None:
    kinds = list(REQUESTS)
    names = [(kinds[each % len(kinds)], f"round {number} key {each}") for each in range(plan.keys)]
    races = [asyncio.ensure_future(racers.race(kind, name, plan.racers)) for kind, name in names]
    killed = number % 3 == 0
    if number % 2 == 0:
        await asyncio.sleep(PACE)
        await asyncio.to_thread(_flush, instance)
        result.flushes += 1
    if killed:
        await asyncio.sleep(PACE)
        with contextlib.suppress(ProcessLookupError, IndexError):
            os.kill(instance.workers()[number % plan.workers], signal.SIGKILL)
            result.kills += 1
    answers = await asyncio.gather(*races)
    await asyncio.to_thread(_flush, instance)
    again = await asyncio.gather(*(racers.race(kind, name, 2) for kind, name in names))
    for (kind, name), first, later in zip(names, answers, again, strict=True):
        result.keys += 1
        calls, allowed = model.calls[name], 2 if killed else 1
        if len(first | later) != 1 or not 1 <= calls <= allowed:
            result.wrong.append(f"{kind}, {name}: {calls} calls, {len(first | later)} answers")


async def _latency(instance: Instance, session: aiohttp.ClientSession, count: int) -> dict[str, float]:
    """Medians in milliseconds."""
    took: dict[str, list[float]] = {"without a key": [], "with a new key": [], "a replay": []}
    bearer = {"Authorization": f"Bearer {instance.key}"}
    for number in range(-20, count):
        body = {"messages": [{"role": "user", "content": f"question {number}"}]}
        key = {"Idempotency-Key": f"key {number}"}
        for name, headers in zip(took, (bearer, {**bearer, **key}, {**bearer, **key}), strict=True):
            began = time.perf_counter()
            async with session.post(f"{instance.url}/v1/chat/completions", json=body, headers=headers) as response:
                await response.read()
                if response.status != 200:
                    raise RuntimeError(f"{name}: {response.status}")
            if number >= 0:
                took[name].append(time.perf_counter() - began)
    return {name: 1000 * statistics.median(each) for name, each in took.items()}


def _flush(instance: Instance) -> None:
    with redis.Redis(unix_socket_path=str(socket_path(instance.folder))) as store:
        store.flushall()


def _add_embeddings(instance: Instance, url: str) -> None:
    file = instance.folder.parent / "models.yaml"
    file.write_text(
        f"models:\n  - {{name: vectors, task: embeddings, adapter: openai_compatible, endpoint: '{url}', "
        "api_key: none, upstream_model: vectors, allow_private: true}\n"
    )
    loaded = instance.manage("loadconfig", str(file))
    if loaded.returncode:
        raise RuntimeError(loaded.stdout + loaded.stderr)
    time.sleep(2.0)  # live in every worker within a second


def _balanced(instance: Instance) -> bool:
    """Once what the killed left open is ended."""
    until = time.monotonic() + PATIENCE
    while True:
        balance = instance.manage("audit", "balance")
        figures = dict(line.rsplit(None, 1) for line in balance.stdout.splitlines() if line[-1:].isdigit())
        if balance.returncode == 0 and figures.get("in flight") == "0":
            return True
        if time.monotonic() > until:
            return False
        time.sleep(1.0)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=Plan.rounds)
    parser.add_argument("--keys", type=int, default=Plan.keys)
    parser.add_argument("--racers", type=int, default=Plan.racers)
    parser.add_argument("--workers", type=int, default=Plan.workers)
    parser.add_argument("--postgres", action="store_true", help="the journal is on a server of its own")
    parser.add_argument("--latency", type=int, default=0, metavar="N")
    plan = Plan(**vars(parser.parse_args(arguments)))
    folder = Path(tempfile.mkdtemp(prefix="clawdbot-idempotency-"))
    began = time.monotonic()
    result = asyncio.run(run(plan, folder))
    shutil.rmtree(folder, ignore_errors=True)
    if plan.latency:
        print("; ".join(f"{name}: {median:.2f} ms" for name, median in result.medians.items()))
        return 0
    print(
        f"{result.keys} keys, {result.requests} requests, {result.calls} calls of the model, {result.replays} replays, "
        f"{result.running} told to wait, {result.flushes} flushes, {result.kills} kills, "
        f"balance {'holds' if result.balanced else 'DOES NOT HOLD'}; {time.monotonic() - began:.0f} s"
    )
    for line in result.wrong:
        print(f"WRONG: {line}")
    return 0 if result.kept else 1


if __name__ == "__main__":
    sys.exit(main())
