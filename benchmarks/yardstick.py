"""A fixed piece of work of the kind a turn is made of, by which CPU times taken on different days can be compared.

A loop of additions is a poor measure: it stays in the first cache. This one makes objects and dictionaries, checks and
writes JSON, scans texts with an automaton of some MB, walks a little through memory in no order, makes small system
calls and hops between tasks. Much of the walk would make it a measure of the neighbours: alone it takes six times as
long on a full machine, a turn not half as long again.

`await Yardstick().measure()` adds a round, about two thousandths of a second; `least()` is the CPU seconds of one: the
sum of each part's least, since a part finds a quiet moment more easily than the whole."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from dataclasses import dataclass, replace

import msgspec
import orjson
from ahocorasick_rs import AhoCorasick, Implementation, MatchKind

from benchmarks import workload

WORDS = 20_000
MEMORY = 1 << 18  # references into other objects: with those some MB
HOPS = 16  # tasks at a time


class Message(msgspec.Struct):
    role: str
    content: str


class Asked(msgspec.Struct):
    model: str
    messages: list[Message]
    max_tokens: int = 0
    temperature: float = 0.0


@dataclass(frozen=True, slots=True)
class Place:
    number: int
    name: str
    weight: float = 1.0

    def moved(self, by: int) -> Place:
        return replace(self, number=self.number + by)


class Yardstick:
    """What it works on is made once, the same every time."""

    def __init__(self) -> None:
        chance = random.Random(7)
        words = {"".join(chance.choices("abcdefghiklmnoprstuvz", k=chance.randint(4, 9))) for _ in range(WORDS)}
        self._automaton = AhoCorasick(
            sorted(words), matchkind=MatchKind.Standard, implementation=Implementation.ContiguousNFA
        )
        self._memory = [str(number) for number in range(MEMORY)]
        self._walk = [chance.randrange(MEMORY) for _ in range(500)]
        body = workload.openai()
        self._bodies = [body(number) for number in range(64)]
        self._texts = [workload.TEXTS[number % len(workload.TEXTS)] * 3 for number in range(64)]
        self._decoder = msgspec.json.Decoder(Asked)
        self._ends = socket.socketpair()
        self._leasts: dict[str, float] = {}

    async def measure(self) -> None:
        for part in (self._objects, self._json, self._scans, self._walks, self._calls):
            began = time.process_time()
            part()
            self._note(part.__name__, time.process_time() - began)
        began = time.process_time()
        await self._hops()
        self._note("hops", time.process_time() - began)

    def least(self) -> float:
        return sum(self._leasts.values())

    def begin(self) -> None:
        """From now on: what was measured before is forgotten."""
        self._leasts.clear()

    def _note(self, part: str, seconds: float) -> None:
        self._leasts[part] = min(seconds, self._leasts.get(part, seconds))

    def _objects(self) -> None:
        places = [Place(number, f"place-{number % 7}") for number in range(300)]
        found: dict[str, list[Place]] = {}
        for place in places:
            found.setdefault(place.name, []).append(place.moved(1))
        for name in sorted(found):
            assert sum(place.number * place.weight for place in found[name]) > 0
        total = 0
        for number in range(4_000):
            total += number & 7

    def _json(self) -> None:
        for body in self._bodies * 5:
            asked = self._decoder.decode(body)
            whole = orjson.loads(body)
            whole["messages"][0]["content"] = asked.messages[0].content.lower().replace("please", "kindly")
            orjson.dumps(whole)

    def _scans(self) -> None:
        for text in self._texts * 4:
            self._automaton.find_matches_as_indexes(text)

    def _walks(self) -> None:
        length = 0
        for place in self._walk:
            length += len(self._memory[place])

    def _calls(self) -> None:
        here, there = self._ends
        for _ in range(150):
            here.send(b"x" * 64)
            there.recv(256)

    async def _hops(self) -> None:
        loop = asyncio.get_running_loop()

        async def hop(times: int) -> None:
            for _ in range(times):
                future = loop.create_future()
                loop.call_soon(future.set_result, None)
                await future

        await asyncio.gather(*(hop(16) for _ in range(HOPS)))
