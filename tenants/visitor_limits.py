"""How often visitors may come and ask: each one, and all from one address together, beside what limits their tenant.

Sliding-window logs like that of `tenants.limits`; one script looks at all of them and counts only what none refuses."""

from __future__ import annotations

from typing import Final

from engine.errors import RateLimited
from tenants.directory import TenantView
from tenants.handles import Store
from tenants.valkey import Script

# Keys: request logs. Arguments: requests a minute of each, at least one.
# Returns 0, or the ms until the next is due.
VISIT: Final = Script(
    """
local t = redis.call('TIME')
local now, wait = t[1] * 1000 + math.floor(t[2] / 1000), 0
for index, key in ipairs(KEYS) do
  local oldest = redis.call('LINDEX', key, -ARGV[index])
  if oldest then wait = math.max(wait, oldest + 60000 - now) end
end
if wait > 0 then return wait end
for index, key in ipairs(KEYS) do
  redis.call('RPUSH', key, string.format('%d', now))
  redis.call('LTRIM', key, -ARGV[index], -1)
  redis.call('PEXPIRE', key, 60000)
end
return 0
"""
)


class VisitorLimits:
    """`store` is the platform's own."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def ticket(self, tenant: TenantView, address: str) -> None:
        """One more ticket for this address. Raises RateLimited, StoreUnavailable."""
        await self._count(tenant, {f"tickets:{address}": tenant.site.address_requests} if address else {})

    async def turn(self, tenant: TenantView, visitor: str, address: str) -> None:
        """One more turn of this visitor. Raises RateLimited, StoreUnavailable."""
        logs = {visitor: tenant.site.visitor_requests}
        if address:
            logs[f"address:{address}"] = tenant.site.address_requests
        await self._count(tenant, logs)

    async def _count(self, tenant: TenantView, logs: dict[str, int]) -> None:
        if 0 in logs.values():
            raise RateLimited("Visitors may not ask anything here.")
        if logs:
            keys = [f"limits:{{{tenant.id}}}:{name}" for name in logs]
            wait = await self._store.run(VISIT, keys, *logs.values())
            if wait:
                raise RateLimited(retry_after=wait / 1000)
