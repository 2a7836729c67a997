"""Whether a worker's memory grows with what it answers: `python -m benchmarks.memory [--requests N] [--streams N]`.

A mix of turns goes to one worker with everything on: with and without a session, `/api/chat`, streams, streams whose
client leaves after the first bytes, questions with a forbidden word, unknown keys, broken JSON. Its resident memory is
looked at after each of a number of equal slices; what counts is the slope over the second half, when caches have their
size. Exit 1: it grows by 1 % or more per 100,000 requests.

`--objects` asks the application in this process instead and counts what Python has allocated before and after, which a
few thousand requests suffice for: neither the kernel's pages nor anybody else's load has a part in it. Exit 1: anything
grows with the number of requests."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import sys
from collections.abc import Awaitable, Callable, Iterator

import uvloop

from benchmarks import allocations
from benchmarks.environment import Environment
from benchmarks.load import Connection, Result, Target, connect
from benchmarks.processes import LOAD_CORE, pin, resident
from benchmarks.workload import GivenSessions, NamedSessions, Talk, openai, rest

CONNECTIONS = 48
SLICES = 40
MOST = 0.01  # of its memory, per 100,000 requests
PER = 100_000
LEFT = 0.02  # of the streams: the client leaves after the first bytes
COMPLETIONS = "/v1/chat/completions"
Ask = Callable[[int], Awaitable[None]]


class Asking:
    """Clients of one worker; every answer has the status it should have."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._numbers = itertools.count()
        self._headers = {"Authorization": f"Bearer {environment.keys['full']}"}

    def target(self, path: str, body: Callable[[int], bytes], talk: type[Talk] = Talk) -> Target:
        return Target(self._environment.port, path, self._headers, body, talk=talk)

    async def turns(self, target: Target, count: int, status: int = 200) -> None:
        """So many, over connections of their own. Raises AssertionError if one is answered otherwise."""
        result, left = Result(), iter(range(count))

        async def caller(connection: Connection) -> None:
            for _ in left:
                await connection.exchange(next(self._numbers))
            connection.transport.close()

        opened = [await connect(target, result) for _ in range(min(CONNECTIONS, count))]
        await asyncio.gather(*map(caller, opened))
        assert set(result.statuses) <= {status}, dict(result.statuses)

    async def left(self, count: int) -> None:
        """Streams whose client leaves after the first bytes."""
        target = self.target(COMPLETIONS, openai(stream=True))
        for _ in range(count):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._environment.port)
            body = target.body(next(self._numbers))
            writer.write(f"{target.head()}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            assert (await reader.read(64)).startswith(b"HTTP/1.1 200")
            writer.transport.abort()

    async def slice(self, requests: int, streams: int) -> None:
        plain, forbidden = openai(), allocations.forbidden()
        unknown = {"Authorization": "Bearer sk-nobody-has-this-one"}
        port = self._environment.port
        await self.turns(self.target(COMPLETIONS, plain), int(requests * 0.4))
        await self.turns(self.target(COMPLETIONS, plain, NamedSessions), int(requests * 0.3))
        await self.turns(self.target("/api/chat", rest(), GivenSessions), int(requests * 0.2))
        await self.turns(self.target(COMPLETIONS, forbidden), int(requests * 0.04), 400)
        await self.turns(Target(port, COMPLETIONS, unknown, plain), int(requests * 0.03), 401)
        await self.turns(self.target(COMPLETIONS, lambda number: b'{"model":'), int(requests * 0.03), 400)
        await self.turns(self.target(COMPLETIONS, openai(stream=True)), int(streams * (1 - LEFT)))
        await self.left(int(streams * LEFT))


def growth(samples: list[tuple[int, float]]) -> float:
    """Of (requests so far, MiB): the slope over the second half by least squares, per 100,000 requests, as a share of
    the mean there."""
    half = samples[len(samples) // 2 :]
    middle = sum(count for count, _ in half) / len(half)
    mean = sum(memory for _, memory in half) / len(half)
    spread = sum((count - middle) ** 2 for count, _ in half)
    slope = sum((count - middle) * (memory - mean) for count, memory in half) / spread
    return slope * PER / mean


async def watched(environment: Environment, requests: int, streams: int) -> Iterator[tuple[int, float]]:
    asking, samples, done = Asking(environment), [], 0
    for _ in range(SLICES):
        await asking.slice(requests // SLICES, streams // SLICES)
        done += requests // SLICES + streams // SLICES
        await asyncio.sleep(0.5)
        samples.append((done, resident(environment.worker)))
        print(f"{samples[-1][0]:10,} {samples[-1][1]:8.1f} MiB", flush=True)
    return iter(samples)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--streams", type=int, default=100_000)
    parser.add_argument("--objects", action="store_true", help="in this process, judged by counts of objects")
    asked = parser.parse_args()
    if asked.objects:
        return allocations.judged(asked.requests)
    pin(os.getpid(), LOAD_CORE)
    with Environment() as environment:
        samples = list(uvloop.run(watched(environment, asked.requests, asked.streams)))
    grown = growth(samples)
    print(f"Per {PER:,} requests it grows by {grown:+.2%} (aimed at: less than {MOST:.0%})")
    return 0 if grown < MOST else 1


if __name__ == "__main__":
    sys.exit(main())
