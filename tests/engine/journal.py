"""A journal in memory, for engines in tests."""

from __future__ import annotations

import asyncio

from engine.entries import Completion, Intent, Partial, SessionEntry
from engine.errors import AuditUnavailable


class MemoryJournal:
    """Entries in order. `broken` fails at once, `gate` holds commits until it is set."""

    def __init__(self) -> None:
        self.entries: list[Intent | Completion | SessionEntry] = []
        self.partials: list[Partial] = []
        self.broken = False
        self.healthy = True
        self.gate: asyncio.Event | None = None

    def _put(self, entry: Intent | Completion | SessionEntry) -> asyncio.Future[None]:
        """As with the real one, the entry is on its way also when nobody waits for it any more."""
        return asyncio.shield(asyncio.ensure_future(self._commit(entry)))

    async def _commit(self, entry: Intent | Completion | SessionEntry) -> None:
        await self.gate.wait() if self.gate is not None else None
        if self.broken:
            raise AuditUnavailable()
        self.entries.append(entry)

    intent = completion = session = _put

    def partial(self, partial: Partial) -> None:
        self.partials.append(partial)

    @property
    def intents(self) -> list[Intent]:
        return [entry for entry in self.entries if isinstance(entry, Intent)]

    @property
    def completions(self) -> list[Completion]:
        return [entry for entry in self.entries if isinstance(entry, Completion)]

    @property
    def states(self) -> list[str]:
        return [entry.state for entry in self.completions]
