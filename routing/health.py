"""How a model instance is doing, as this process sees it: pure statistics, given the time, no I/O and no clock.

Its signals are the time to the first token, errors, calls in flight and the age of the oldest call that is still
unanswered. The total duration of an answer is none: it mostly measures how long the answer is."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable
from math import exp, inf
from typing import Final

from engine.errors import UpstreamBusy, UpstreamError
from engine.places import Places
from routing.breaker import ERROR_RATE, RATED_CALLS, Breaker, Change

SIZES: Final = (256, 1024, 4096, 16384)  # prompt tokens at which the next class begins
MEMORY: Final = 2.0  # seconds of the moving average of the time to the first token
STEP: Final = 0.5  # the most a single call may count in it, unless it is good news: who is seldom asked must come back
ERROR_MEMORY: Final = 4.0  # seconds in which an outcome loses two thirds of its weight
DOUBT: Final = 2.0  # calls without error every instance is credited with
DRIFT: Final = 5.0  # seconds without an answer in which two thirds of an estimate are forgotten, to twice as many:
# the worker that forgets first tries whether a slow instance is well again, and its news spares the others a try
SLOW: Final = 2.0  # times what is usual: from then on an answer is news for the other workers,
QUIET: Final = 1.0  # if it is the first in so many seconds
CURRENT: Final = 5.0  # seconds for which such news holds
LEARNING: Final = 0.02  # a call's part in what is known of its class
PAUSE: Final = 1.0  # seconds, when the service asks to wait and does not say how long
LONGEST_PAUSE: Final = 60.0


def class_of(prompt_tokens: int, stream: bool) -> int:
    """The class of a call: its first token takes longer after a long prompt, and without a stream it is the last."""
    return bisect_right(SIZES, prompt_tokens) + (0 if stream else len(SIZES) + 1)


class Classes:
    """By how much the classes of calls differ in their time to the first token, learnt from the calls of all
    instances. The class seen first is the measure: the others are multiples of it."""

    __slots__ = ("_factors", "_measure", "_seen")

    def __init__(self) -> None:
        count = 2 * (len(SIZES) + 1)
        self._measure: int | None = None
        self._factors = [1.0] * count
        self._seen = [0] * count

    def knows(self, kind: int) -> bool:
        return kind == self._measure or self._seen[kind] > 0

    def normalised(self, seconds: float, kind: int) -> float:
        return seconds / self._factors[kind]

    def learn(self, seconds: float, kind: int, usual: float | None) -> None:
        """A call of an instance that usually takes `usual` normalised seconds (None: not known yet)."""
        if self._measure is None:
            self._measure = kind
        if kind == self._measure or not usual or seconds <= 0:
            return
        seen = self._seen[kind]
        ratio = seconds / self._factors[kind] / usual
        if seen:
            ratio = min(2.0, max(0.5, ratio)) ** max(LEARNING, 1 / (seen + 1))
        self._factors[kind] *= ratio
        self._seen[kind] = seen + 1


class Call:
    """One call of an instance: when it `began`, its class, whether it is a half-open breaker's probe."""

    __slots__ = ("began", "kind", "over", "probe")

    def __init__(self, began: float, kind: int, probe: bool) -> None:
        self.began = began
        self.kind = kind
        self.probe = probe
        self.over = False


class Health:
    """One instance. Times are seconds of one monotonic clock. `ttft` is the moving average of the normalised time to
    the first token, None before the first; `usual` is what is usual in the pool that was weighed last, 0 before;
    `calls`, `answers` and `failures` count, `latest` is the last time as measured; `places` are what tenants share of
    it, None where any number of calls may run.

    A service that asks to wait is paused and blamed for nothing. A call the caller cancelled, or that the service
    calls wrong, says nothing about the instance."""

    __slots__ = (
        "_answered_at", "_calls", "_classes", "_counted_at", "_drift", "_errors", "_jitter", "_unanswered", "answers",
        "breaker", "calls", "failures", "in_flight", "latest", "paused_until", "places", "ttft", "usual",
    )  # fmt: skip

    def __init__(self, classes: Classes | None = None, *, jitter: Callable[[], float] = random.random) -> None:
        self._classes = classes or Classes()
        self._unanswered: OrderedDict[Call, None] = OrderedDict()
        self._jitter = jitter
        self._answered_at = 0.0
        self._drift = DRIFT
        self._calls = self._errors = self._counted_at = 0.0
        self.paused_until = 0.0
        self.breaker = Breaker(jitter)
        self.in_flight = 0
        self.places: Places | None = None
        self.calls = 0
        self.answers = 0
        self.failures = 0
        self.latest = 0.0
        self.ttft: float | None = None
        self.usual = 0.0

    def bound(self, limit: int | None, *, alone: bool) -> None:
        """So many calls at a time, None: any; `alone`: all of one tenant. Whoever waits is let in if there is room."""
        places = self.places
        if places is not None:
            places.limit = inf if limit is None else limit
            if places.line.size:
                places.freed()
        elif limit is not None:
            self.places = Places(limit, alone=alone, running=lambda: self.in_flight)
        if limit is None:
            self.places = None

    # What happens -------------------------------------------------------------------------------------------------

    def begin(self, now: float, kind: int = 0) -> Call:
        call = Call(now, kind, self.breaker.begin(now))
        self.in_flight += 1
        self.calls += 1
        self._unanswered[call] = None
        return call

    def first_token(self, call: Call, now: float) -> Change | None:
        """What the other workers should know, if anything."""
        self._unanswered.pop(call, None)
        self.latest = seconds = now - call.began
        self._classes.learn(seconds, call.kind, self.ttft)
        if not self._classes.knows(call.kind):
            return None
        normalised = self._classes.normalised(seconds, call.kind)
        news = None
        if self.ttft is not None and self._is_slow() and now - self._answered_at > QUIET:
            news = Change("answered", CURRENT, ratio=round(normalised / self.ttft, 3))
        self.answers += 1
        self._believe(normalised, now)
        return news

    def end(self, call: Call, error: BaseException | None, now: float) -> Change | None:
        """What the other workers should know, if anything. The first end of a call counts."""
        if call.over:
            return None
        call.over = True
        self.in_flight -= 1
        self._unanswered.pop(call, None)
        if error is None:
            self._count(0.0, now)
            return self._noted(self.breaker.succeed(call.probe, now))
        if isinstance(error, UpstreamError) and not isinstance(error, UpstreamBusy):
            self.failures += 1
            self._count(1.0, now)
            erring = self._calls >= RATED_CALLS and self._errors > ERROR_RATE * self._calls
            return self.breaker.fail(call.probe, call.began, now, erring=erring)
        return self._said_nothing(call, error, now)

    def withdraw(self, call: Call) -> None:
        """The call was never made."""
        if not call.over:
            call.over = True
            self.in_flight -= 1
            self.calls -= 1
            self._unanswered.pop(call, None)
            if call.probe:
                self.breaker.abandon()

    def begin_check(self, now: float) -> Call:
        """We ask the service whether it is there. No call: it counts for the breaker alone."""
        return Call(now, 0, self.breaker.begin(now))

    def end_check(self, check: Call, error: BaseException | None, now: float) -> Change | None:
        """Like `end`."""
        if check.over:
            return None
        check.over = True
        if error is None:
            return self._noted(self.breaker.checked(check.probe, now))
        if isinstance(error, UpstreamError) and not isinstance(error, UpstreamBusy):
            return self.breaker.check_failed(check.probe, check.began, now)
        return self._said_nothing(check, error, now)

    def adopt(self, change: Change, now: float) -> None:
        """What another worker found out."""
        if change.what == "opened":
            self.breaker.open(change, now)
        elif change.what == "closed":
            self.breaker.close(now)
            self._noted(change)
        elif change.what == "answered":
            if self.ttft is not None and self._is_slow():
                self._believe(max(change.ratio * self.ttft, self.usual), now)
        else:
            self.paused_until = max(self.paused_until, now + min(change.seconds, LONGEST_PAUSE))

    # What is known ------------------------------------------------------------------------------------------------

    def oldest(self, now: float) -> float:
        """The normalised age of the oldest unanswered call; 0: there is none."""
        if not self._unanswered:
            return 0.0
        call = next(iter(self._unanswered))
        return self._classes.normalised(now - call.began, call.kind)

    def error_rate(self, now: float) -> float:
        """Of the recent calls, 0 to 1; fades while there are none."""
        kept = exp((self._counted_at - now) / ERROR_MEMORY)
        return self._errors * kept / (self._calls * kept + DOUBT)

    def expected(self, now: float) -> float:
        """`ttft` as far as it can still be believed: without news it drifts to what is usual, though not while a call
        is waiting for an answer."""
        if self.ttft is None:
            return self.usual
        if self._unanswered:
            return self.ttft
        return self.usual + (self.ttft - self.usual) * exp(min(0.0, MEMORY + self._answered_at - now) / self._drift)

    def _is_slow(self) -> bool:
        return self.ttft is not None and self.ttft > SLOW * self.usual > 0

    def _believe(self, normalised: float, now: float) -> None:
        """A time to the first token."""
        if self.ttft is None:
            self.ttft = normalised
        else:
            part = max(1 - exp((self._answered_at - now) / MEMORY), 1 / self.answers)
            self.ttft += (part if normalised < self.ttft else min(STEP, part)) * (normalised - self.ttft)
        self._answered_at = now
        self._drift = DRIFT * (1 + self._jitter())

    def _said_nothing(self, call: Call, error: BaseException, now: float) -> Change | None:
        """The end of a call that the instance is not to blame for, though its service may have asked for a pause."""
        if call.probe:
            self.breaker.abandon()
        if isinstance(error, UpstreamBusy):
            wait = PAUSE if error.retry_after is None else min(max(error.retry_after, 0.0), LONGEST_PAUSE)
            self.paused_until = max(self.paused_until, now + wait)
            return Change("paused", wait)
        return None

    def _count(self, outcome: float, now: float) -> None:
        kept = exp((self._counted_at - now) / ERROR_MEMORY)
        self._calls = self._calls * kept + 1.0
        self._errors = self._errors * kept + outcome
        self._counted_at = now

    def _noted(self, change: Change | None) -> Change | None:
        """A breaker that closes forgets the errors that opened it."""
        if change is not None and change.what == "closed":
            self._calls = self._errors = 0.0
        return change
