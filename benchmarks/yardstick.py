"""A fixed piece of work of the kind a turn is made of, by which CPU times taken on different days can be compared.

Loops of additions are a poor measure: they stay in the first cache and slow down by half where a turn slows down by
nine tenths. This one makes objects and dictionaries, checks and writes JSON, scans texts with an automaton of some MB,
walks through memory in no order, hops between tasks and makes small system calls, in about equal parts.

`await Yardstick().measure()` gives CPU seconds of one round, about two thousandths of a second."""

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
        self._walk = [chance.randrange(MEMORY) for _ in range(8_000)]
        body = workload.openai()
        self._bodies = [body(number) for number in range(64)]
        self._texts = [workload.TEXTS[number % len(workload.TEXTS)] * 3 for number in range(64)]
        self._decoder = msgspec.json.Decoder(Asked)
        self._ends = socket.socketpair()

    async def measure(self) -> float:
        """CPU seconds of this process."""
        began = time.process_time()
        self._objects()
        self._json()
        self._scans()
        self._memory_walk()
        self._calls()
        await self._hops()
        return time.process_time() - began

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

    def _memory_walk(self) -> None:
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
