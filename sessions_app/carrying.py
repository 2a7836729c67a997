"""Carries a tenant's keys from one store to another while they are in use: over and over, until little changes; what
is written to the old one after the last time is brought along by `Carrier.merge`."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Final

from sessions_app import layout
from tenants.handles import Store
from tenants.resp import CommandRefused, Script

BATCH: Final = 200  # keys on their way at a time

# Keys: session, turns. Arguments: version and edits, '1' if it may be new here; then of the hash and of the list the ms
# to live and the dump. Takes both over if they are newer than what is here.
_ADOPT: Final = Script(
    """
local here = redis.call('HMGET', KEYS[1], 'version', 'edits')
if not here[1] and ARGV[3] == '0' then return 0 end
local version, edits = tonumber(here[1] or '0'), tonumber(here[2] or '0')
if version > tonumber(ARGV[1]) or (version == tonumber(ARGV[1]) and edits >= tonumber(ARGV[2])) then return 0 end
redis.call('RESTORE', KEYS[1], ARGV[4], ARGV[5], 'REPLACE')
if ARGV[7] == '' then
  redis.call('DEL', KEYS[2])
else
  redis.call('RESTORE', KEYS[2], ARGV[6], ARGV[7], 'REPLACE')
end
return 1
"""
)


class Carrier:
    """`source` and `target` may do what their operators may. What was carried is remembered by a digest a key."""

    def __init__(self, source: Store, target: Store) -> None:
        self._source = source
        self._target = target
        self._carried: dict[str, bytes] = {}

    async def carry(self) -> int:
        """Makes the target what the source is; how many keys were not so already, as far as this object knows. Raises
        StoreUnavailable."""
        changed = 0
        seen: set[str] = set()
        async for names in self._source.scan():
            for at in range(0, len(names), BATCH):
                changed += await self._carry(names[at : at + BATCH])
            seen.update(names)
        strange: list[str] = []
        async for names in self._target.scan():
            strange += [name for name in names if name not in seen]
        for at in range(0, len(strange), BATCH):  # those that are back again stay for the next time
            there = await asyncio.gather(*(self._source.send("EXISTS", name) for name in strange[at : at + BATCH]))
            gone = [name for name, is_there in zip(strange[at : at + BATCH], there, strict=True) if not is_there]
            changed += await self._target.unlink(gone)
            for name in gone:
                self._carried.pop(name, None)
        return changed

    async def _carry(self, names: Sequence[str]) -> int:
        dumps, lives = await self._dumped(names)
        sent = []
        for name, dump, life in zip(names, dumps, lives, strict=True):
            if dump is not None and self._carried.get(name) != (digest := _digest(dump)):
                sent.append(self._target.send("RESTORE", name, max(0, life), dump, "REPLACE"))
                self._carried[name] = digest
        await asyncio.gather(*sent)
        return len(sent)

    async def _dumped(self, names: Sequence[str]) -> tuple[list[bytes | None], list[int]]:
        found = await asyncio.gather(
            *(self._source.send("DUMP", name) for name in names), *(self._source.send("PTTL", name) for name in names)
        )
        return found[: len(names)], found[len(names) :]

    async def merge(self) -> int:
        """Brings along what was written to the source since, by turns that were on their way; the target is in use by
        now, and of a session the higher version counts. How many keys that were. Raises StoreUnavailable."""
        brought = 0
        seen: set[str] = set()
        async for names in self._source.scan():
            seen.update(names)
            for at in range(0, len(names), BATCH):
                brought += await self._merge(names[at : at + BATCH])
        gone = [name for name in self._carried if name not in seen]
        for at in range(0, len(gone), BATCH):
            brought += await self._drop(gone[at : at + BATCH])
        return brought

    async def _merge(self, names: Sequence[str]) -> int:
        dumps, lives = await self._dumped(names)
        brought = 0
        for name, dump, life in zip(names, dumps, lives, strict=True):
            if dump is None or self._carried.get(name) == _digest(dump):
                continue
            if layout.is_session(name):
                brought += await self._merge_session(name, dump, life)
            elif name.startswith(("sessions:", "idle:")):
                brought += await self._merge_index(name)
            elif not name.startswith(("session:", "lease:")):
                brought += await self._add(name, dump, life)
        return brought

    async def _merge_session(self, name: str, dump: bytes, life: int) -> int:
        turns = f"{name}:turns"
        (version, edits), list_dump, list_life = await asyncio.gather(
            self._source.send("HMGET", name, "version", "edits"),
            self._source.send("DUMP", turns),
            self._source.send("PTTL", turns),
        )
        if version is None:
            return 0
        new = bool(self._carried) and name not in self._carried  # else it was deleted at the target
        about = (version, edits or 0, int(new), max(0, life), dump, max(0, list_life), list_dump or b"")
        return int(await self._target.run(_ADOPT, [name, turns], *about))

    async def _merge_index(self, name: str) -> int:
        listed = await self._source.call("ZRANGE", name, 0, -1, "WITHSCORES")
        for at in range(0, len(listed), 2 * BATCH):
            some = listed[at : at + 2 * BATCH]
            pairs = [word for member, score in zip(some[::2], some[1::2], strict=True) for word in (score, member)]
            await self._target.call("ZADD", name, "GT", *pairs)
        return 1

    async def _add(self, name: str, dump: bytes, life: int) -> int:
        try:
            await self._target.call("RESTORE", name, max(0, life), dump)
        except CommandRefused as error:
            if not error.reply.startswith("BUSYKEY"):
                raise
            return 0
        return 1

    async def _drop(self, names: Sequence[str]) -> int:
        """Deletes at the target what was deleted at the source, unless it was changed there."""
        dumps = await asyncio.gather(*(self._target.send("DUMP", name) for name in names))
        same = [
            n for n, dump in zip(names, dumps, strict=True) if dump is not None and _digest(dump) == self._carried[n]
        ]
        return await self._target.unlink(same)


async def empty(store: Store) -> int:
    """Deletes all keys of a handle; how many. Raises StoreUnavailable."""
    count = 0
    async for names in store.scan():
        count += await store.unlink(names)
    return count


def _digest(dump: bytes) -> bytes:
    return hashlib.blake2b(dump, digest_size=16).digest()
