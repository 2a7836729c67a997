"""What the code may do with keys, wherever they lie."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from tenants.resp import Reply, Script, Word


class Store(Protocol):
    """A handle, of one tenant's keys or of the platform's. `tenants.valkey.Connection` has the contracts."""

    @property
    def idle(self) -> bool: ...

    def send(self, *words: Word) -> asyncio.Future[Reply]:
        """A command whose one key comes right after its name."""

    async def call(self, *words: Word) -> Reply:
        """`send`, awaited."""

    def run(self, script: Script, keys: Sequence[Word], *arguments: Word) -> asyncio.Future[Reply]:
        """All keys share one hash tag."""

    def era(self, key: str) -> str: ...

    def scan(self, count: int = 1_000, match: str = "*") -> AsyncIterator[list[str]]: ...

    async def values(self, keys: Sequence[str]) -> list[bytes | None]: ...

    async def unlink(self, keys: Sequence[str]) -> int: ...

    async def close(self) -> None: ...
