"""Answers that are kept for repeated requests, each tenant's in its own store. Implements `engine.ports.Answers`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from engine.errors import EngineError
from engine.snapshots import Cell
from engine.types import CachePolicy, Principal, StoredAnswer
from tenants.directory import TenantTable
from tenants.isolation import Stores

log = logging.getLogger(__name__)

NONE: Final = CachePolicy()
PREFIX: Final = "answer:"
LARGEST: Final = 256 * 1024  # bytes of an answer that is worth keeping
PATIENCE: Final = 0.25  # seconds a turn waits for a kept answer before it asks the model
BATCH: Final = 1_000  # keys the store looks at in one go while it forgets

_UNENCODABLE: Final = (ValueError, TypeError, OverflowError, RecursionError)
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(StoredAnswer).decode


class AnswerStore:
    """A store that is away, or holds what makes no sense, is an empty one for turns."""

    home = "answers"

    def __init__(self, stores: Stores, tenants: Cell[TenantTable]) -> None:
        self._stores = stores
        self._tenants = tenants

    def policy(self, principal: Principal) -> CachePolicy:
        view = self._tenants.value.by_id.get(principal.tenant_id)
        return view.cache if view is not None else NONE

    async def get(self, tenant_id: int, key: str) -> StoredAnswer | None:
        try:
            async with asyncio.timeout(PATIENCE):
                found = await self._stores.tenant(tenant_id).call("GET", _name(key))
        except (EngineError, TimeoutError):
            return None
        if found is None:
            return None
        try:
            return _decode(found)
        except (msgspec.DecodeError, ValueError, RecursionError):
            log.warning("a kept answer of tenant %s makes no sense", tenant_id)
            return None

    def put(self, tenant_id: int, key: str, answer: StoredAnswer, ttl: int) -> None:
        try:
            encoded = _encode(answer)
        except _UNENCODABLE:
            return
        if len(encoded) <= LARGEST:
            with suppress(EngineError):
                self._stores.tenant(tenant_id).send("SET", _name(key), encoded, "EX", ttl)

    async def forget(self, tenant_id: int) -> int:
        """Deletes all that is kept for the tenant, and says how many answers that were; what turns that run right now
        keep afterwards stays. Raises StoreUnavailable; TenantSuspended for a tenant that is gone."""
        store, count = self._stores.tenant(tenant_id), 0
        async for names in store.scan(BATCH, f"{PREFIX}*"):
            count += await store.unlink(names)
        return count

    async def erase(self, tenant_id: int, whose: Callable[[str], bool]) -> int:
        """Implements `engine.ports.Erasable`. Nobody can tell whose question a kept answer is: all go."""
        return await self.forget(tenant_id)


def _name(key: str) -> str:
    return f"{PREFIX}{key}"
