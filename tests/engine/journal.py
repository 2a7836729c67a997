"""A journal in memory, for engines in tests."""

from __future__ import annotations

import asyncio

from engine.entries import Claim, Completion, Intent, Partial
from engine.errors import AuditUnavailable, IdempotencyMismatch, IdempotencyRunning
from engine.idempotency import Recorded
from engine.types import Principal


class MemoryJournal:
    """Entries in order. `broken` fails at once, `gate` holds commits until it is set."""

    def __init__(self) -> None:
        self.entries: list[Intent | Completion] = []
        self.partials: list[Partial] = []
        self.broken = False
        self.healthy = True
        self.gate: asyncio.Event | None = None
        self.held: dict[str, tuple[str, str]] = {}  # turn and fingerprint by idempotency key

    def _put(self, entry: Intent | Completion, claim: Claim | None = None) -> asyncio.Future[None]:
        """As with the real one, the entry is on its way also when nobody waits for it any more."""
        work = self._commit(entry) if claim is None else self._grant(entry, claim)
        return asyncio.shield(asyncio.ensure_future(work))

    async def _commit(self, entry: Intent | Completion) -> None:
        await self.gate.wait() if self.gate is not None else None
        if self.broken:
            raise AuditUnavailable()
        self.entries.append(entry)

    async def _grant(self, entry: Intent | Completion, claim: Claim) -> None:
        await self._commit(entry)
        if self.held.get(claim.digest, ("", ""))[0] != claim.after:
            raise IdempotencyRunning()
        self.held[claim.digest] = (entry.turn_id, claim.fingerprint)

    intent = completion = _put

    async def find(self, principal: Principal, key: str, fingerprint: str) -> Claim | Recorded:
        """`engine.idempotency.Once`."""
        digest = f"{principal.tenant_id} {principal.subject} {key}"
        turn_id, before = self.held.get(digest, ("", ""))
        ends = [end for end in self.completions if end.turn_id == turn_id]
        if not turn_id or (ends and ends[0].state != "completed"):
            return Claim(digest=digest, fingerprint=fingerprint, after=turn_id)
        if before != fingerprint:
            raise IdempotencyMismatch()
        if not ends:
            raise IdempotencyRunning()
        return Recorded(next(intent for intent in self.intents if intent.turn_id == turn_id), ends[0])

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
