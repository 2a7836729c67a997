"""A tenant's keys beside those of others: each name gets the tenant's prefix, and the server itself refuses the
tenant's user any other.

The password is made from the master key and never stored. A server is told of the user whenever a connection to it is
made: one that was restarted without an ACL file, or that joined the cluster, knows it in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

from tenants.handles import Store
from tenants.resp import Reply, Script, Word
from tenants.secrets import derived_passwords
from tenants.valkey import Connection, Login

RIGHTS: Final = (
    "+@read",
    "+@write",
    "+@scripting",
    "+select",
    "+ping",
    "+asking",
    "+client|setname",  # and nothing else of CLIENT: its TRACKING tells the names of others' keys
    "+time",
    "-@dangerous",
    "-@admin",
    "-scan",
    "-randomkey",
    "-dbsize",
    "-function",
    "-script|flush",
    "-script|kill",
    "-script|debug",
    "+info",  # names the server's life; of keys it tells only how many there are in all
)


def prefix(tenant_id: int) -> str:
    return f"t{tenant_id}:"


def user(tenant_id: int) -> str:
    """The tenant's user on the server."""
    return f"clawdbot-t{tenant_id}"


async def grant(server: Connection, tenant_id: int) -> Login:
    """Makes the tenant's user on this server, or makes it what it should be; its name and password. Raises
    StoreUnavailable."""
    passwords = derived_passwords(f"store of tenant {tenant_id}")
    reach = ("resetkeys", f"~{prefix(tenant_id)}*", "resetchannels")
    known = ("resetpass", *(f">{password}" for password in passwords))
    await server.call("ACL", "SETUSER", user(tenant_id), "on", *known, *reach, "nocommands", *RIGHTS)
    return user(tenant_id), passwords[0]


async def revoke(server: Connection, tenant_id: int) -> None:
    """Ends the tenant's user and its connections. Raises StoreUnavailable."""
    await server.call("ACL", "DELUSER", user(tenant_id))


class Prefixed:
    """A handle, see `Store`. `store` speaks as the tenant's user, `operator` as the platform's in the same database: it
    alone may look at all names, which costs as much as there are keys of all tenants."""

    def __init__(self, store: Store, operator: Store, tenant_id: int) -> None:
        self._store = store
        self._operator = operator
        self._prefix = prefix(tenant_id)

    @property
    def idle(self) -> bool:
        return self._store.idle

    def send(self, *words: Word) -> asyncio.Future[Reply]:
        if len(words) > 1:
            command, key, *rest = words
            words = (command, self._named(key), *rest)
        return self._store.send(*words)

    async def call(self, *words: Word) -> Reply:
        return await self.send(*words)

    def run(self, script: Script, keys: Sequence[Word], *arguments: Word) -> asyncio.Future[Reply]:
        return self._store.run(script, [self._named(key) for key in keys], *arguments)

    def era(self, key: str) -> str:
        return self._store.era(self._prefix + key)

    async def scan(self, count: int = 1_000, match: str = "*") -> AsyncIterator[list[str]]:
        cut = len(self._prefix)
        async for names in self._operator.scan(count, self._prefix + match):
            yield [name[cut:] for name in names]

    async def values(self, keys: Sequence[str]) -> list[bytes | None]:
        return await self._store.values([self._prefix + key for key in keys])

    async def unlink(self, keys: Sequence[str]) -> int:
        return await self._store.unlink([self._prefix + key for key in keys])

    def _named(self, key: Word) -> Word:
        return self._prefix.encode() + key if isinstance(key, bytes) else f"{self._prefix}{key}"

    async def close(self) -> None:
        await self._store.close()
