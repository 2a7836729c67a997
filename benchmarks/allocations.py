"""What the application keeps of what it has answered, in this process: counts of objects and of allocated blocks.

Turns of every kind are asked, then as many again several times over; after each time the collector runs and everything
is counted. What grows each time, and by a share of the turns, is kept for ever. What grows once is a cache."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import orjson
import uvloop

from access.asgi import App
from benchmarks import workload
from benchmarks.inprocess import Caller, Work, cost, prepared, started, whole
from benchmarks.listed import words
from clawdbot_site.wiring import Application

TIMES = 3
TURNS = 384  # of a kind, each time, at least
SHARE = 0.25  # of the turns of a kind that may be left over as objects: what is a leak leaves one or more a turn
BLOCKS = 0.75  # the same of blocks, of which some hundreds come and go with caches
ANSWERED = 0.9  # of the turns, at least: on a full machine a store may be out of reach for a moment
REST = 1.5  # seconds in which what was begun meanwhile ends


def forbidden() -> Callable[[int], bytes]:
    """Questions with a word that blocks."""
    body, word = workload.openai(), words()[-1]
    return lambda number: body(number).replace(b"Request", word.encode(), 1)


class Refused(Caller):
    """One whose questions are answered with an error."""

    def __init__(self, app: App, key: str, talk: workload.Talk, status: int) -> None:
        super().__init__(app, "/v1/chat/completions", key, talk)
        self._status = status

    async def _send(self, event: dict[str, object]) -> None:  # type: ignore[override]
        if event["type"] == "http.response.start":
            assert event["status"] == self._status, event


class Leaving(Caller):
    """One who leaves after the first bytes of a stream."""

    async def ask(self, number: int) -> None:
        lines, body = self._talk.say(number)
        begun, asked = asyncio.Event(), False

        async def receive() -> dict[str, object]:
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": body, "more_body": False}
            await begun.wait()
            return {"type": "http.disconnect"}

        async def send(event: dict[str, object]) -> None:
            begun.set()
            await asyncio.sleep(0)

        await self._app(self.scope(), receive, send)  # type: ignore[arg-type]


@dataclass
class Asked:
    """How many turns there were, and how many were answered as they should be."""

    all: int = 0
    answered: int = 0

    def also(self, work: Work) -> Work:
        async def counted(number: int) -> None:
            self.all += 1
            try:
                await work(number)
            except AssertionError:
                return
            self.answered += 1

        return counted


def kinds(application: Application, keys: dict[str, str]) -> dict[str, list[Work]]:
    """By name, the workers of one kind of turn."""
    app, plain, streamed = application.app, workload.openai(), workload.openai(stream=True)
    few = range(8)  # at a time
    return {
        **whole(app, keys),
        "a forbidden word": [Refused(app, keys["full"], workload.Talk(forbidden()), 400).ask for _ in few],
        "an unknown key": [Refused(app, "sk-nobody-has-this-one", workload.Talk(plain), 401).ask for _ in few],
        "broken JSON": [Refused(app, keys["full"], workload.Talk(lambda number: b'{"model":'), 400).ask for _ in few],
        "a client that leaves": [
            Leaving(app, "/v1/chat/completions", keys["full"], workload.Talk(streamed)).ask for _ in few
        ],
    }


def counted() -> Counter[type | str]:
    """Objects the collector knows by type, and under "blocks" all small pieces of memory in use, strings and bytes
    among them. What was there when the collector was frozen counts in the blocks alone. Weak references count nowhere:
    a connection of sqlite3 keeps up to 200 of cursors that are gone."""
    for _ in range(3):
        gc.collect()
    blocks = sys.getallocatedblocks()
    found: Counter[type | str] = Counter(map(type, gc.get_objects()))
    found["blocks"] = blocks - found.pop(weakref.ReferenceType, 0)
    return found


def kept(counts: Sequence[Counter[type | str]], turns: int) -> dict[str, int]:
    """What grew every time, by at least a share of the turns of one kind that were asked meanwhile: by how much."""
    pairs = list(pairwise(counts))
    grew = {name for name in counts[-1] if all(later[name] > earlier[name] for earlier, later in pairs)}
    total = {name: counts[-1][name] - counts[0][name] for name in grew}
    return {
        str(name): more
        for name, more in total.items()
        if more >= (BLOCKS if name == "blocks" else SHARE) * turns * len(pairs)
    }


async def found(application: Application, keys: dict[str, str], requests: int) -> dict[str, int]:
    """What is kept. `requests` of all kinds and times together."""
    async with started(application):
        works = kinds(application, keys)
        turns = max(TURNS, requests // len(works) // (TIMES + 1))
        counts: list[Counter[type | str]] = []
        asked = Asked()
        for time in range(TIMES + 1):
            for work in works.values():
                await cost([asked.also(each) for each in work], turns)
            await asyncio.sleep(REST)
            if not time:  # the first one warms up
                gc.collect()
                gc.freeze()
            else:
                counts.append(counted())
        grown = (counts[-1]["blocks"] - counts[0]["blocks"]) / (turns * len(works) * (TIMES - 1))
        assert asked.answered >= ANSWERED * asked.all, f"{asked.answered} of {asked.all} turns were answered"
        print(f"{turns * len(works):,} turns of {len(works)} kinds, {TIMES + 1} times: {grown:.4f} blocks more a turn")
        return kept(counts, turns)


def judged(requests: int) -> int:
    """Prints what is kept; 1 if anything is."""
    with prepared() as (application, keys):
        leaking = uvloop.run(found(application, keys, requests))
    if leaking:
        print("Kept for ever:", orjson.dumps(leaking, option=orjson.OPT_INDENT_2).decode(), file=sys.stderr)
    return 1 if leaking else 0
