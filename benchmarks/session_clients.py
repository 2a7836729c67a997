"""One client's work for a turn's two round trips; run by `benchmarks.sessions --clients` in an environment of its own.

    python -m benchmarks.session_clients NAME PORT

prints the microseconds of CPU (all threads of the process) that a turn costs, 32 at a time: reading a session of ten
messages in one pipeline, and writing a turn in another, in the way the client's own documentation shows."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import uvloop

TOGETHER: Final = 32
TURNS: Final = 6_400
FIELDS: Final = ("version", "last_active", "model_version", "user_profile", "name", "system", "model", "instance")
SAID: Final = '[{{"role":"user","content":"{}"}},{{"role":"assistant","content":"{}"}}]'.format("q" * 330, "a" * 600)
STAY: Final = 5  # turns of a session

Turn = Callable[[int], Awaitable[object]]


def _keys(number: int) -> tuple[str, str, str]:
    key = f"session:{{1:{number}}}:bench"
    return key, f"{key}:turns", f"sessions:{{1:{number}}}"


async def _ours(port: int) -> Turn:
    from tenants.valkey import Connection  # noqa: PLC0415  # each client is imported only where it is measured

    connection = Connection(f"redis://127.0.0.1:{port}/0")

    async def turn(number: int) -> None:
        key, turns, index = _keys(number)
        await asyncio.gather(connection.send("HMGET", key, *FIELDS), connection.send("LRANGE", turns, 0, -1))
        await asyncio.gather(
            connection.send("HSET", key, "version", number, "model", "m"),
            connection.send("RPUSH", turns, SAID),
            connection.send("LTRIM", turns, -STAY, -1),
            connection.send("ZADD", index, number, key),
        )

    return turn


async def _redis_py(port: int) -> Turn:
    import redis.asyncio as redis  # noqa: PLC0415

    client = redis.Redis(port=port)

    async def turn(number: int) -> None:
        key, turns, index = _keys(number)
        async with client.pipeline(transaction=False) as pipe:
            await pipe.hmget(key, FIELDS).lrange(turns, 0, -1).execute()  # type: ignore[attr-defined]
        async with client.pipeline(transaction=False) as pipe:
            pipe.hset(key, mapping={"version": number, "model": "m"}).rpush(turns, SAID)  # type: ignore[union-attr]
            pipe.ltrim(turns, -STAY, -1).zadd(index, {key: number})
            await pipe.execute()

    return turn


async def _coredis(port: int) -> Turn:
    import coredis  # noqa: PLC0415

    client: Any = coredis.Redis(port=port)
    await client.__aenter__()

    async def turn(number: int) -> None:
        key, turns, index = _keys(number)
        async with client.pipeline(transaction=False) as pipe:
            pipe.hmget(key, FIELDS)
            pipe.lrange(turns, 0, -1)
        async with client.pipeline(transaction=False) as pipe:
            pipe.hset(key, {"version": number, "model": "m"})
            pipe.rpush(turns, [SAID])
            pipe.ltrim(turns, -STAY, -1)
            pipe.zadd(index, {key: number})

    return turn


async def _glide(port: int) -> Turn:
    import glide  # noqa: PLC0415

    address = glide.NodeAddress("127.0.0.1", port)
    client = await glide.GlideClient.create(glide.GlideClientConfiguration([address]))

    async def turn(number: int) -> None:
        key, turns, index = _keys(number)
        reading, writing = glide.Batch(is_atomic=False), glide.Batch(is_atomic=False)
        reading.hmget(key, list(FIELDS))
        reading.lrange(turns, 0, -1)
        await client.exec(reading, raise_on_error=True)
        writing.hset(key, {"version": str(number), "model": "m"})
        writing.rpush(turns, [SAID])
        writing.ltrim(turns, -STAY, -1)
        writing.zadd(index, {key: number})
        await client.exec(writing, raise_on_error=True)

    return turn


CLIENTS: Final[dict[str, Callable[[int], Awaitable[Turn]]]] = {
    "ours": _ours,
    "redis-py": _redis_py,
    "coredis": _coredis,
    "valkey-glide": _glide,
}


async def cost(name: str, port: int) -> None:
    turn = await CLIENTS[name](port)

    async def talk(number: int, turns: int) -> None:
        for _ in range(turns):
            await turn(number)

    await asyncio.gather(*(talk(number, 2 * STAY) for number in range(TOGETHER)))
    began = time.process_time()
    await asyncio.gather(*(talk(number, TURNS // TOGETHER) for number in range(TOGETHER)))
    print((time.process_time() - began) / TURNS * 1e6, flush=True)
    os._exit(0)  # some leave connections and threads behind


if __name__ == "__main__":
    uvloop.run(cost(sys.argv[1], int(sys.argv[2])))
