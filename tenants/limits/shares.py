"""What a turn or a call takes of its worker's portions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.types import Window
from tenants.limits.cash import Cash
from tenants.limits.portions import Places
from tenants.limits.subjects import Counted, Scope, Subject

if TYPE_CHECKING:
    from tenants.limits.leases import Lease

Held = list[tuple[Places, int]]
Buckets = Sequence[tuple[str, int, Subject]]


class Share:
    """Of all these counters, or nothing."""

    __slots__ = ("buckets", "cash", "lease", "logs", "scope", "slots")

    def __init__(
        self, lease: Lease, scope: Scope, counted: Counted, buckets: Buckets = (), cash: Cash | None = None
    ) -> None:
        self.lease = lease
        self.scope = scope
        self.cash = cash
        limits = dict(zip(counted.keys, counted.limits, strict=True))
        self.logs = [lease.log(key, limits[key]) for key in counted.keys[: len(counted.logs)]]
        self.slots = [lease.places(key, limits[key]) for key in counted.slot_keys]
        self.buckets = [lease.bucket(key, limit) for key, limit, _ in buckets]

    def ready(self, tokens: int, amount: int, now: float) -> bool:
        """Whether all of them have it."""
        for log in self.logs:
            if log.rest <= 0 or log.until <= now:
                return False
        for places in self.slots:
            if not places.free or places.until <= now:
                return False
        for bucket in self.buckets:
            if bucket.rest < tokens or bucket.until <= now:
                return False
        return self.cash is None or self.cash.ready(amount, now)

    def take(self, tokens: int, now: float) -> Held:
        """Only when it is `ready`. The slots, to be put back; the money is `cash` to be taken."""
        low = False
        for log in self.logs:
            log.rest -= 1
            log.used += 1
            low = low or log.rest < log.low
        for bucket in self.buckets:
            bucket.rest -= tokens
            bucket.used += tokens
            low = low or bucket.rest < bucket.low
        taken = [(places, places.take()) for places in self.slots]
        if low or (self.cash is not None and self.cash.rest < self.cash.low):
            self.lease.hurry(now)
        return taken

    def window(self, now: float) -> Window | None:
        """Of the tightest log, or bucket where there is one."""
        tightest = None
        for portion in self.buckets or self.logs:
            if tightest is None or portion.left + portion.rest < tightest.left + tightest.rest:
                tightest = portion
        return tightest.window(now) if tightest is not None else None
