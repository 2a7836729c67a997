"""Answers that are kept for repeated requests, each tenant's in its own store. Implements `engine.ports.Answers`."""

from __future__ import annotations

import logging
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
LARGEST: Final = 1024 * 1024  # bytes of an answer that is worth keeping


class AnswerStore:
    """A store that is away, or holds what makes no sense, is an empty one."""

    def __init__(self, stores: Stores, tenants: Cell[TenantTable]) -> None:
        self._stores = stores
        self._tenants = tenants

    def policy(self, principal: Principal) -> CachePolicy:
        view = self._tenants.value.by_id.get(principal.tenant_id)
        return view.cache if view is not None else NONE

    async def get(self, tenant_id: int, key: str) -> StoredAnswer | None:
        try:
            found = await self._stores.tenant(tenant_id).call("GET", _name(key))
        except EngineError:
            return None
        if found is None:
            return None
        try:
            return msgspec.json.decode(found, type=StoredAnswer)
        except msgspec.DecodeError:
            log.warning("a kept answer of tenant %s makes no sense", tenant_id)
            return None

    def put(self, tenant_id: int, key: str, answer: StoredAnswer, ttl: int) -> None:
        encoded = msgspec.json.encode(answer)
        if len(encoded) <= LARGEST:
            with suppress(EngineError):
                self._stores.tenant(tenant_id).send("SET", _name(key), encoded, "EX", ttl)


def _name(key: str) -> str:
    return f"answer:{key}"
