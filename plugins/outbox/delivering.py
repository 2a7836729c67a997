"""One sink and what is sent to it: first what is held and due, then what is new in the tenant's journal.

The place in the journal moves on only after the sink has confirmed: whoever is killed in between sends the same events
again, with the same ids, and loses none."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import Final

from plugins.models import DeliveryAttempt, HeldEvent, SinkState
from plugins.outbox import holding, places
from plugins.outbox.declared import Declared
from plugins.outbox.events import TEST, Event, test_event
from plugins.outbox.log import AttemptLog
from plugins.outbox.sinks import LONGEST_ERROR, EventRefused, Sink, SinkAway, SinkError, SinkGone
from plugins.outbox.sources import EventSource, Placed

log = logging.getLogger(__name__)

READ: Final = 200  # entries at once
RUN: Final = 5.0  # seconds until others have their turn
ELSEWHERE: Final = 2.0  # seconds between two looks at whether another process still has it
SAVE_EVERY: Final = 50  # events, or
SAVE_AFTER: Final = 2.0  # seconds, well within the lease

Switch = Callable[[Declared, str], None]


class Delivery:
    """Belongs to one thread at a time. `switch_off` is called when a webhook says that it is gone, or has failed for
    `most_failing` seconds."""

    def __init__(self, it: Declared, source: EventSource, holder: str, switch_off: Switch, most_failing: float) -> None:
        self.it = it
        self.position = -1  # as far as is known here
        self.idle_until = 0.0
        self._pause_until = 0.0
        self._source = source
        self._holder = holder
        self._switch_off = switch_off
        self._most_failing = most_failing
        self._sink: Sink | None = None
        self._log = AttemptLog(it.tenant_id, it.sink, everything=it.webhook is not None)

    def step(self, head: int, stop: Callable[[], bool]) -> bool:
        """Sends what there is, for a few seconds; whether there is more. Raises LeaseLost, django.db.Error."""
        row = self._row(head)
        if not places.take(row, self._holder):
            self.rest(ELSEWHERE)
            self.close()
            return False
        row.refresh_from_db()
        if head < row.position:
            head = self._shorter(row)
        self.position = row.position
        self.idle_until = time.time() + places.RENEW
        self._pause_until = 0.0
        try:
            if row.next_at > time.time():
                return False
            return self._send_all(row, head, stop)
        finally:
            self._log.save()
            self._report(row, head)

    @property
    def pausing(self) -> bool:
        """It failed, another process has it, or it was looked after just now and knows of nothing new."""
        return self._pause_until > time.time()

    def rest(self, seconds: float) -> None:
        self._pause_until = self.idle_until = time.time() + seconds

    def close(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            try:
                sink.close()
            except Exception as error:  # noqa: BLE001 - border: it is left anyway
                log.info("%s could not be closed: %s", self.it.sink, type(error).__name__)

    def _row(self, head: int) -> SinkState:
        row = places.found(self.it.tenant_id, self.it.sink)
        if row is not None:
            return row
        position, since = head, 0.0
        if self.it.since is not None:
            position, since = self._source.position_at(self.it.tenant_id, self.it.since), self.it.since
        label = self.it.spec.label or self.it.sink
        return places.make(self.it.tenant_id, self.it.sink, label=label, position=position, since=since)

    def _shorter(self, row: SinkState) -> int:
        """The journal ends before the place, as after an older backup came back: it goes on from the end. The end as
        it is now: what was looked up before may have been overtaken."""
        head = self._source.heads().get(self.it.tenant_id, 0)
        if head < row.position:
            log.warning("the journal of %s is shorter than %s knows it", self.it.slug, self.it.sink)
            places.move(row, position=head)
        return head

    def _send_all(self, row: SinkState, head: int, stop: Callable[[], bool]) -> bool:
        end = time.monotonic() + RUN
        try:
            self._retry(row, end, stop)
            return head > row.position and self._forward(row, end, stop)
        except SinkAway as error:
            self._failed(row, error)
            return False

    # What is held ---------------------------------------------------------------------------------------------------

    def _retry(self, row: SinkState, end: float, stop: Callable[[], bool]) -> None:
        for first in holding.due(self.it.tenant_id, self.it.sink, holding.MOST):
            held: HeldEvent | None = first
            while held is not None and not stop() and time.monotonic() < end:
                held = self._retried(row, held)

    def _retried(self, row: SinkState, held: HeldEvent) -> HeldEvent | None:
        """The next one of its partition that may be tried at once."""
        event = self._event(held)
        if event is None:
            places.move(row, pruned=row.pruned + 1)
            return holding.release(held)
        try:
            self._send(event)
        except EventRefused as error:
            self._note_failure(row, error)
            if held.type == TEST:
                holding.release(held)
            elif holding.refused(held, str(error), self.it.spec.given_up):
                places.move(row, dead=row.dead + 1)
            return None
        except SinkAway:
            if held.type == TEST:
                holding.release(held)
            raise
        places.move(row, **self._sent(row, 1))
        return holding.release(held)

    def _event(self, held: HeldEvent) -> Event | None:
        """None: retention took it."""
        if held.position is None:
            return test_event(held.event, self.it.slug, held.first_at)
        spec = self.it.spec
        types = (held.type,)
        batch = self._source.read(self.it.tenant_id, self.it.slug, held.position, 1, types=types, content=spec.content)
        if not batch.events or batch.events[0].position != held.position:
            return None
        return batch.events[0].event.marked(resent=held.resent)

    # What is new ----------------------------------------------------------------------------------------------------

    def _forward(self, row: SinkState, end: float, stop: Callable[[], bool]) -> bool:
        spec = self.it.spec
        while not stop():
            if holding.waiting(self.it.tenant_id, self.it.sink).count() >= holding.MOST:
                raise SinkAway("too many events were refused: nothing new is sent before some of them are through")
            batch = self._source.read(
                self.it.tenant_id, self.it.slug, row.position, READ, types=spec.events, content=spec.content
            )
            if batch.position <= row.position:
                return False
            if not self._send_batch(row, batch.events, stop):
                return True
            places.move(row, position=batch.position, pruned=row.pruned + batch.pruned)
            self.position = row.position
            if time.monotonic() >= end:
                return True
        return True

    def _send_batch(self, row: SinkState, events: list[Placed], stop: Callable[[], bool]) -> bool:
        """Whether all of it is done: sent, or held. Raises SinkAway; what was sent until then is noted."""
        held = holding.partitions(self.it.tenant_id, self.it.sink)
        sent, saved = 0, time.monotonic()
        place = row.position
        try:
            for placed in events:
                if stop():
                    return False
                if placed.at >= row.since:
                    sent += self._send_or_hold(row, placed, held)
                place = placed.position + 1
                recovered = sent and row.failing_since  # at once: who is killed now must not wait as long as before
                if recovered or sent >= SAVE_EVERY or time.monotonic() - saved >= SAVE_AFTER:
                    places.move(row, position=place, **self._sent(row, sent))
                    sent, saved = 0, time.monotonic()
            return True
        finally:
            if sent or place != row.position:
                places.move(row, position=place, **self._sent(row, sent))

    def _send_or_hold(self, row: SinkState, placed: Placed, held: set[str]) -> int:
        """How many were sent."""
        event, tenant_id, sink = placed.event, self.it.tenant_id, self.it.sink
        if event.partitionkey in held:
            holding.hold(tenant_id, sink, placed.position, event)
            return 0
        try:
            self._send(event)
        except EventRefused as error:
            holding.hold(tenant_id, sink, placed.position, event, error=str(error) or "refused")
            if event.partitionkey:
                held.add(event.partitionkey)
            self._note_failure(row, error)
            return 0
        return 1

    # The sink -------------------------------------------------------------------------------------------------------

    def _send(self, event: Event) -> None:
        """Raises SinkAway, EventRefused."""
        began, error, status = time.monotonic(), "", 0
        try:
            if self._sink is None:
                self._sink = self.it.spec.open()
            status = self._sink.send(event)
        except SinkError as failure:
            error, status = str(failure) or type(failure).__name__, failure.status
            if isinstance(failure, SinkAway):
                self.close()
            raise
        except Exception as failure:
            self.close()  # it may be in any state
            error = type(failure).__name__
            log.warning("%s of %s failed", self.it.sink, self.it.slug, exc_info=failure)
            raise SinkAway(f"it failed: {error}") from failure
        finally:
            self._log.add(event, time.monotonic() - began, status=status, error=error)

    def _sent(self, row: SinkState, number: int) -> dict[str, object]:
        if not number:
            return {}
        cleared = {"failures": 0, "failing_since": None, "next_at": 0.0, "last_error": ""} if row.failing_since else {}
        return {"delivered": row.delivered + number, "last_sent_at": time.time(), **cleared}

    def _note_failure(self, row: SinkState, error: SinkError) -> None:
        """Of one event. What follows may yet be taken."""
        since = row.failing_since or time.time()
        places.move(row, failing_since=since, last_error=str(error)[:LONGEST_ERROR])
        if self.it.webhook is not None:
            if isinstance(error, SinkGone):
                self._switch_off(self.it, str(error))
                raise SinkAway(str(error), error.status)
            self._give_up_after(since, str(error))

    def _failed(self, row: SinkState, error: SinkAway) -> None:
        since, failures = row.failing_since or time.time(), row.failures + 1
        pause = min(2.0 ** min(failures - 1, 10), self.it.spec.patience) * random.uniform(0.8, 1.0)  # noqa: S311
        told = str(error)[:LONGEST_ERROR]
        places.move(row, failures=failures, failing_since=since, next_at=time.time() + pause, last_error=told)
        if self.it.webhook is not None:
            self._give_up_after(since, told)

    def _give_up_after(self, since: float, error: str) -> None:
        if time.time() - since >= self._most_failing:
            self._switch_off(self.it, error)

    def _report(self, row: SinkState, head: int) -> None:
        """How far it is behind, for people and metrics."""
        lag = max(0, head - row.position)
        seconds = self._source.age(self.it.tenant_id, row.position) if lag else 0.0
        places.move(row, lag=lag, lag_seconds=seconds, label=(self.it.spec.label or row.label)[:200])
        self._pause_until = row.next_at


def attempts_of(tenant_id: int, sink: str, most: int = 50) -> list[DeliveryAttempt]:
    """The last ones, the newest first."""
    return list(DeliveryAttempt.objects.for_tenant(tenant_id).filter(sink=sink).order_by("-id")[:most])
