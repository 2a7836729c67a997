"""What is counted on the way of a turn. Whoever counts implements these; no method raises, waits or does I/O.

`instance` is how operators know a model instance, `model` the public name it is behind, `tenant` a slug."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from engine.types import Usage, Verdict

Kept = Literal["hit", "miss", "stored", "coalesced"]


class CallMeter(Protocol):
    """Counts calls of model instances: every one that was made, retries and batches too."""

    def first_token(self, *, instance: str, model: str, seconds: float) -> None:
        """A call's first token came so many seconds after its beginning."""

    def call(self, *, instance: str, model: str, error: str, seconds: float) -> None:
        """A call is over. `error` is the error's code; empty: it answered."""


class Meter(Protocol):
    """Counts turns. `state` is a journal state, or `rate_limited`."""

    def turn(
        self, *, tenant: str, model: str, edge: str, state: str, ttft: float | None, duration: float, usage: Usage
    ) -> None: ...

    def spent(self, *, tenant: str, model: str, cost: int) -> None:
        """What a turn has to pay, in millionths of the unit prices are in. Called if it is anything."""

    def cache(self, *, tenant: str, outcome: Kept) -> None:
        """What became of a call that may be repeated: its answer was kept (`hit`), another turn's call is shared
        (`coalesced`), or the model is called (`miss`); and that the answer of such a call is kept (`stored`)."""

    def refused(self, *, tenant: str, limit: str) -> None:
        """A turn was refused by a limit: see `engine.errors.RateLimited.limit`."""

    def replayed(self, *, tenant: str, edge: str) -> None:
        """Counts a request that was answered as it was before, by its idempotency key."""

    def guard(self, *, edge: str, verdicts: Sequence[Verdict], held: tuple[int, float] | None) -> None:
        """Counts what the guard found in a turn and how long it held the answer back. Called if there is either."""


class Uncounted:
    """A `CallMeter` where nobody counts."""

    def first_token(self, *, instance: str, model: str, seconds: float) -> None: ...

    def call(self, *, instance: str, model: str, error: str, seconds: float) -> None: ...


UNCOUNTED = Uncounted()
