"""What the engine needs of whoever limits its callers; part of `engine.ports`, where the rest is."""

from __future__ import annotations

from typing import Protocol

import msgspec

from engine.types import ChatRequest, Instance, Principal, Usage, Window


class Admission(Protocol):
    """A turn let in by the limiter; `release` gives its concurrency slot back and is safe to call twice. `window`: the
    tightest limit of requests it counted against."""

    @property
    def window(self) -> Window | None: ...

    def release(self) -> None: ...


class Reservation(Protocol):
    """Tokens and money set aside for one model call. `room` is how many tokens of an answer they are enough for,
    `window` the tightest limit of tokens."""

    @property
    def window(self) -> Window | None: ...

    @property
    def room(self) -> int: ...

    async def extend(self) -> bool:
        """Sets more aside for an answer that has used up its `room`, which grows. False: a budget has nothing left,
        the answer must end here."""

    def settle(self, usage: Usage) -> None:
        """Replaces the estimate by what was used; `Usage()` refunds all. Safe to call twice: the first counts."""


class Limiter(Protocol):
    async def admit(self, principal: Principal, request: ChatRequest, turn_id: str) -> Admission:
        """Counts the turn against rates and concurrency. Raises RateLimited with `retry_after`."""

    async def reserve(
        self,
        principal: Principal,
        instance: Instance,
        prompt_tokens: int,
        max_tokens: int | None,
        *,
        model: str = "",
        choices: int = 1,
    ) -> Reservation:
        """Sets tokens and money aside at the instance's price, for so many answers of `max_tokens`. `model` is the
        public name of the call. Raises RateLimited, BudgetExceeded, StoreUnavailable."""


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What turns of one key or member (or visitor: neither) with one model used since some moment. `amount` is in
    millionths, see `engine.pricing`."""

    key_id: int | None
    member_id: int | None
    model: str
    tokens: int
    amount: int


class SpendingRecords(Protocol):
    """What was used, as it was recorded with the turns' completions."""

    async def spent(self, tenant_id: int, since: float) -> list[Spent]:
        """Of the tenant's turns that ended at `since` (Unix seconds, the start of an hour) or later, all that is
        recorded durably. Raises StoreUnavailable."""
