"""Makes a Valkey server forget on its disk what was deleted from its memory: its append-only file and its snapshot are
written anew."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from engine.errors import StoreUnavailable
from tenants.valkey import CommandRefused, Connection

LOOK: Final = 0.05  # seconds between two looks at the server's progress
PATIENCE: Final = 900.0  # seconds: a large store takes a while

_BUSY: Final = ("aof_rewrite_in_progress", "aof_rewrite_scheduled", "rdb_bgsave_in_progress")


class Rewritten(msgspec.Struct, frozen=True):
    """Which files were written anew. `refused`: the server does not let us, its operator must."""

    append_only_file: bool = False
    snapshot: bool = False
    refused: str = ""


async def rewrite_all(servers: Sequence[Connection]) -> Rewritten:
    """`rewrite` of each, one after the other: all at once would burden a machine they may share. What one of them
    refuses is told."""
    results = [await rewrite(server) for server in servers]
    return Rewritten(
        append_only_file=any(result.append_only_file for result in results),
        snapshot=any(result.snapshot for result in results),
        refused="; ".join(sorted({result.refused for result in results} - {""}))[:200],
    )


async def rewrite(store: Connection, *, patience: float = PATIENCE) -> Rewritten:
    """Returns once both are on the disk. A server without any persistence has nothing to forget.

    Raises StoreUnavailable: it is away, could not write, or took longer."""
    try:
        async with asyncio.timeout(patience):
            append_only = (await _idle(store)).get("aof_enabled") == "1"
            snapshots = await _takes_snapshots(store)
            if append_only:
                await _do(store, "BGREWRITEAOF", "aof_last_bgrewrite_status")
            if snapshots:
                await _do(store, "BGSAVE", "rdb_last_bgsave_status")
    except TimeoutError:
        raise StoreUnavailable("The store took too long to write its files anew.") from None
    except CommandRefused as error:
        return Rewritten(refused=error.reply[:200])
    return Rewritten(append_only, snapshots)


async def _takes_snapshots(store: Connection) -> bool:
    try:
        return bool((await store.call("CONFIG", "GET", "save"))[1])
    except CommandRefused:
        return True


async def _do(store: Connection, command: str, status: str) -> None:
    """Anew, also where one was running that began before; the server's own ones may come between."""
    while True:
        try:
            await store.call(command)
            break
        except CommandRefused as error:
            if "in progress" not in error.reply:
                raise
        await _idle(store)
    if (await _idle(store)).get(status) != "ok":
        raise StoreUnavailable("The store could not write its files anew: is its disk full?")


async def _idle(store: Connection) -> dict[str, str]:
    """What the server says of its persistence once nothing is being written."""
    while True:
        lines = (await store.call("INFO", "persistence")).decode().splitlines()
        told = dict(line.split(":", 1) for line in lines if ":" in line)
        if not any(told.get(name) == "1" for name in _BUSY):
            return told
        await asyncio.sleep(LOOK)
