"""What a process that answers turns counts of them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Literal

from access.metrics import families as f
from access.metrics.asking import Questions
from access.metrics.families import FAMILIES
from access.metrics.names import OTHER, Labels
from access.metrics.series import Book, Gauge, Key
from access.metrics.snapshot import decode, encode, total
from access.metrics.telling import Teller
from access.metrics.text import render
from engine.pricing import UNIT
from engine.queueing import Outcome
from engine.types import Usage, Verdict

LOST: Final = frozenset({"failed", "aborted"})
RECENT: Final = 300.0  # seconds that `clawdbot_completion_ratio` looks back


class Metrics:
    """One a process; implements `engine.meters.Meter` and `CallMeter`. Labels come from configuration, never from a
    caller's words: tenants, instance names, edges, route templates; those that tenants can fill are bounded."""

    def __init__(self, *, tenants: int = 200, names: int = 200) -> None:
        self.book = book = Book(Labels(tenants, names))
        of = book.labels.of
        self._tenant, self._model, self._instance = of["tenant"].of, of["model"].of, of["instance"].of
        self._list, self._plugin = of["list"].of, of["plugin"].of
        counts, durations = book.counts, book.durations
        self._requests, self._request_seconds = counts(f.REQUESTS), durations(f.REQUEST_SECONDS)
        self._turns, self._tokens, self._cost = counts(f.TURNS), counts(f.TOKENS), counts(f.COST)
        self._seconds, self._first = durations(f.TURN_SECONDS), durations(f.FIRST)
        self._replayed, self._cache, self._limited = counts(f.REPLAYED), counts(f.CACHE), counts(f.LIMITED)
        self._calls, self._errors = counts(f.CALLS), counts(f.ERRORS)
        self._call_seconds, self._call_first = durations(f.CALL_SECONDS), durations(f.CALL_FIRST)
        self._waits, self._refusals = durations(f.WAITS), counts(f.REFUSALS)
        self._commits, self._masked = durations(f.COMMITS), counts(f.MASKED)
        self._masking = threading.Lock()
        self._hooks, self._hook_seconds = counts(f.HOOKS), durations(f.HOOK_SECONDS)
        self._hits, self._held, self._held_for = counts(f.HITS), durations(f.HELD), durations(f.HELD_FOR)
        self._closed, self._refused = counts(f.CLOSED), counts(f.REFUSED)
        self._crowded = {"grpc": counts(f.CROWDED), "web": counts(f.WEB_CROWDED)}
        self.sockets = Gauge()
        book.watch(f.SOCKETS, lambda: {(): self.sockets.value})
        self._completed = self._lost = 0
        self._past: deque[tuple[float, int, int]] = deque()
        self.platform = Questions()
        self._teller = Teller(book, None, "web", recent=self._recent)

    # Life ------------------------------------------------------------------------------------------------------------

    def start(self, path: Path, kind: str, version: str) -> None:
        """From now on the machine's other processes hear of what is counted here, and this one of them. `path` is where
        they meet; `kind` is `web` or `grpc`."""
        self.book.watch(f.INFO, lambda: {(version,): 1.0})
        self._teller = Teller(self.book, path, kind, recent=self._recent)
        self._teller.start()

    async def stop(self) -> None:
        await self._teller.stop()

    async def page(self, accept: str) -> tuple[bytes, str]:
        """What all processes of the machine have counted, and what the platform's store knows; its content type."""
        totals, facts = await asyncio.gather(self._teller.totals(), self.platform.read())
        for name, values in facts.items():
            totals.gauges[name] = self.book.bounded(FAMILIES[name], values)
        return await asyncio.to_thread(render, totals, accept)

    def text(self) -> bytes:
        """What this process alone has counted."""
        said = decode(encode(self._teller.snapshot()))
        assert said is not None
        return render(total([said], said.at))[0]

    def _recent(self) -> tuple[int, int]:
        """Turns of the last minutes: completed, and lost."""
        now, past = time.monotonic(), self._past
        if not past or now - past[-1][0] >= 1.0:
            past.append((now, self._completed, self._lost))
        while len(past) > 1 and past[1][0] <= now - RECENT:
            past.popleft()
        _, completed, lost = past[0] if now - past[0][0] >= RECENT else (now, 0, 0)
        return self._completed - completed, self._lost - lost

    # What is read whenever somebody asks -----------------------------------------------------------------------------

    def watch_queue(self, waiting: Mapping[str, int]) -> None:
        """`waiting`: turns that wait, by the place they wait for."""
        self.book.watch(f.IN_LINE, lambda: {(place,): number for place, number in waiting.items()})

    def watch_connections(self, server: Literal["grpc", "web"], number: Callable[[], int]) -> Callable[[str], None]:
        """`number` gives those of the server that are open. What is returned counts one that was `refused`, or
        `made_way`, as there were too few places."""
        self.book.watch(f.CONNECTIONS if server == "grpc" else f.WEB_CONNECTIONS, lambda: {(): number()})
        crowded = self._crowded[server].values

        def counted(outcome: str) -> None:
            crowded[(outcome,)] += 1

        return counted

    def watch_journal(self, waiting: Callable[[], Sequence[int]]) -> None:
        """`waiting` gives entries, bytes and bytes on the disk."""
        for number, family in enumerate((f.WAITING_ENTRIES, f.WAITING_BYTES, f.SPOOLED)):
            self.book.watch(family, partial(_nth, waiting, number))

    # What happens ----------------------------------------------------------------------------------------------------

    def request(self, path: str, method: str, status: int, seconds: float | None = None) -> None:
        """Counts an HTTP answer and how long it took. `path` is the route's template."""
        self._requests.values[path, method, str(status)] += 1
        if seconds is not None:
            self._request_seconds.observe(path, seconds)

    def turn(
        self, *, tenant: str, model: str, edge: str, state: str, ttft: float | None, duration: float, usage: Usage
    ) -> None:
        tenant, model = self._tenant(tenant), self._model(model)
        self._turns.values[state, edge, tenant] += 1
        if usage.prompt_tokens:
            key = ("prompt", tenant, model)
            self._tokens.spare(key, ("prompt", tenant, OTHER), usage.prompt_tokens)
        if usage.completion_tokens:
            key = ("completion", tenant, model)
            self._tokens.spare(key, ("completion", tenant, OTHER), usage.completion_tokens)
        if state == "completed":
            self._completed += 1
        elif state in LOST:
            self._lost += 1
        self._seconds.observe(edge, duration)
        if ttft is not None:
            self._first.observe(edge, ttft)

    def spent(self, *, tenant: str, model: str, cost: int) -> None:
        tenant = self._tenant(tenant)
        self._cost.spare((tenant, self._model(model)), (tenant, OTHER), cost / UNIT)

    def cache(self, *, tenant: str, outcome: str) -> None:
        self._cache.values[self._tenant(tenant), outcome] += 1

    def refused(self, *, tenant: str, limit: str) -> None:
        self._limited.values[self._tenant(tenant), limit] += 1

    def replayed(self, *, tenant: str, edge: str) -> None:
        self._replayed.values[edge, self._tenant(tenant)] += 1

    def first_token(self, *, instance: str, model: str, seconds: float) -> None:
        self._call_first.observe(self._instance(instance), seconds)

    def call(self, *, instance: str, model: str, error: str, seconds: float) -> None:
        """A call that its caller left is counted, and no error."""
        instance, model = self._instance(instance), self._model(model)
        self._calls.spare((instance, model), (instance, OTHER), 1)
        if not error:
            self._call_seconds.observe(instance, seconds)
        elif error != "cancelled":
            self._errors.spare((instance, model, error), (instance, OTHER, error), 1)

    def waited(self, *, tenant: str, place: str, outcome: Outcome, seconds: float) -> None:
        """A turn waited for a `place`: `worker` or `instance`."""
        self._waits.observe(outcome, seconds)
        if outcome not in ("served", "left"):
            self._refusals.values[place, outcome, self._tenant(tenant)] += 1

    def commit(self, outcome: str, seconds: float) -> None:
        """A commit of the journal: `durable` or `failed`."""
        self._commits.observe(outcome, seconds)

    def socket_closed(self, reason: str) -> None:
        self._closed.values[(reason,)] += 1

    def socket_refused(self, code: str) -> None:
        """`code` is the error's."""
        self._refused.values[(code,)] += 1

    def masked(self, kind: str, number: int) -> None:
        """Counts the different values of a kind that were masked for one call; from any thread."""
        with self._masking:
            self._masked.values[(kind,)] += number

    def hook(self, *, plugin: str, hook: str, outcome: str, seconds: float) -> None:
        """What became of a plugin's hook; see `plugins.hooks`."""
        plugin = self._plugin(plugin)
        self._hooks.values[plugin, hook, outcome] += 1
        if seconds:
            self._hook_seconds.observe(plugin, seconds)

    def guard(self, *, edge: str, verdicts: Sequence[Verdict], held: tuple[int, float] | None) -> None:
        for verdict in verdicts:
            self._hits.values[self._list(verdict.list), verdict.action, verdict.where] += 1
        if held is not None:
            self._held.observe(edge, held[0])
            self._held_for.observe(edge, held[1])


def _nth(figures: Callable[[], Sequence[int]], number: int) -> dict[Key, float]:
    return {(): float(figures()[number])}
