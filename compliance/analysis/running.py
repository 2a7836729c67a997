"""Reads the journals of all tenants from where it was left, within a bound of time; whoever else is asked to meanwhile
leaves it to the first."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from django.db import DatabaseError, IntegrityError, connections, transaction

from compliance.analysis import facts, keeping, storing
from compliance.analysis.counting import PATIENCE, Counting, Delta
from compliance.analysis.facts import Asked, Judged
from compliance.analysis.storing import Overtaken, Step
from compliance.database import ALIAS, renew
from compliance.journal.following import Followed, Follower, SourceAway
from compliance.journal.records import COMPLETION, INTENT
from compliance.journal.slots import NoSlot
from compliance.journal.union import see_all_slots
from compliance.models import AuditEntry
from compliance.models.insights import AnalysisRun, InsightOpenEnd, InsightPlace
from compliance.personal.masking import Masker
from compliance.personal.scanning import Scanner
from compliance.personal.switches import recognisers_of
from compliance.sealing.opening import Opener
from compliance.usage.counting import HOUR
from tenants import stored_keys
from tenants.models import Tenant

log = logging.getLogger(__name__)

PAGE: Final = 4000  # entries of a transaction
SECONDS: Final = 50.0  # that a run takes at most, if more is waiting than that
LEASE: Final = 120.0  # seconds after the last page for which nobody else begins
LATE: Final = 60.0  # seconds in which an entry that was made has surely been seen, if its worker is well
SOME: Final = 400  # ids of a query
TROUBLE: Final = (DatabaseError, sqlite3.Error, NoSlot, SourceAway, OSError)

Clock = Callable[[], float]


class Displaced(RuntimeError):
    """It lasted so long that somebody else has begun."""


class Ran(NamedTuple):
    """How many entries were read. `more`: time was up before all were. None of that is so where another one runs."""

    entries: int = 0
    more: bool = False
    elsewhere: bool = False


def run(
    *,
    seconds: float = SECONDS,
    tenants: Sequence[int] | None = None,
    rebuild: bool = False,
    page: int = PAGE,
    now: Clock = time.time,
    clock: Clock = time.monotonic,
) -> Ran:
    """Of these tenants, or all. `rebuild`: from the beginning, as far as the journal is kept. Blocking. Raises one of
    TROUBLE, which `AnalysisRun` tells too; what was counted until then stays counted, once."""
    lease = Lease(now)
    if not lease.take():
        return Ran(elsewhere=True)
    began, until = clock(), clock() + seconds
    ran, error = Ran(), ""
    try:
        if rebuild:
            for tenant_id in _all() if tenants is None else tenants:
                storing.clear(tenant_id)
        ran = _run(lease, tenants, page, lambda: clock() > until, now)
        keeping.forget_old(now())
    except Displaced as displaced:
        log.warning("the journal's analysis stops: %s", displaced)
        return Ran(lease.entries, more=True)
    except TROUBLE as trouble:
        error = f"{type(trouble).__name__}: {trouble}"[:300]
        raise
    finally:
        with suppress(DatabaseError):
            lease.end(clock() - began, ran.entries or lease.entries, error)
    return ran


class Lease:
    """Who runs. It is not what makes sums right (`storing` does): only a waste it prevents."""

    def __init__(self, now: Clock) -> None:
        self.entries = 0
        self._now = now
        self._name = f"{socket.gethostname()[:30]}-{os.getpid()}-{secrets.token_hex(4)}"

    def take(self) -> bool:
        now = self._now()
        with transaction.atomic():
            row = AnalysisRun.objects.select_for_update().filter(pk=1).first()
            if row is None:
                AnalysisRun.objects.bulk_create([AnalysisRun(pk=1)], ignore_conflicts=True)
            free = AnalysisRun.objects.filter(pk=1).exclude(held_until__gt=now, held_until__lt=now + 2 * LEASE)
            return free.update(holder=self._name, held_until=now + LEASE, began=now) == 1

    def go_on(self, entries: int) -> None:
        """Raises Displaced."""
        self.entries += entries
        mine = AnalysisRun.objects.filter(pk=1, holder=self._name)
        if mine.update(held_until=self._now() + LEASE, entries=self.entries) != 1:
            raise Displaced("another run has begun")

    def end(self, seconds: float, entries: int, error: str) -> None:
        mine = AnalysisRun.objects.filter(pk=1, holder=self._name)
        mine.update(held_until=0.0, ended=self._now(), seconds=seconds, entries=entries, error=error)


def _run(lease: Lease, tenants: Sequence[int] | None, page: int, over: Callable[[], bool], now: Clock) -> Ran:
    entries, more = 0, False
    with Follower() as follower:
        seen = now()
        heads = follower.heads()
        for tenant_id in _waiting(heads, tenants):
            try:
                reading, size = _Reading(tenant_id, follower, page), heads.get(tenant_id, 0)
                while reading.place.position < size and not over():
                    entries += (read := reading.page())
                    lease.go_on(read)
                if reading.place.position >= size:
                    reading.settle(seen, size)
            except (Overtaken, IntegrityError) as error:
                log.info("tenant %d is left for the next run: %s", tenant_id, error)
            more = more or over()
            if more:
                break
        if not more:
            _settle_quiet(heads, tenants, follower, page, seen)
    return Ran(entries, more)


def _waiting(heads: dict[int, int], tenants: Sequence[int] | None) -> list[int]:
    """Those with something new, who was behind longest first."""
    known = dict(InsightPlace.objects.everywhere().values_list("tenant_id", "position"))
    at = dict(InsightPlace.objects.everywhere().values_list("tenant_id", "at"))
    there = _all() if tenants is None else [each for each in _all() if each in set(tenants)]
    behind = [each for each in there if heads.get(each, 0) != known.get(each, 0)]
    return sorted(behind, key=lambda each: (at.get(each, 0.0), each))


def _all() -> list[int]:
    return list(Tenant.objects.order_by("pk").values_list("pk", flat=True))


def _settle_quiet(
    heads: dict[int, int], tenants: Sequence[int] | None, follower: Follower, page: int, seen: float
) -> None:
    """Sessions of tenants of whom nothing new came."""
    due = InsightOpenEnd.objects.everywhere().filter(at__lt=seen - PATIENCE - LATE)
    for tenant_id in sorted(set(due.values_list("tenant_id", flat=True))):
        if tenants is None or tenant_id in tenants:
            reading = _Reading(tenant_id, follower, page)
            if reading.place.position == (size := heads.get(tenant_id, 0)):
                with suppress(Overtaken):
                    reading.settle(seen, size)


class _Reading:
    """One tenant's journal."""

    def __init__(self, tenant_id: int, follower: Follower, page: int) -> None:
        self.place = storing.place_of(tenant_id)
        self._tenant_id = tenant_id
        self._follower = follower
        self._page = page
        self._ends = storing.open_ends(tenant_id)
        self._keys = stored_keys.stored(tenant_id)
        self._opener = Opener(lambda _: self._keys)
        self._mask = _masking(tenant_id)

    def page(self) -> int:
        """How many positions were read and counted. Raises Overtaken."""
        found = self._follower.follow(self._tenant_id, self.place.position, self._page)
        if found.end <= self.place.position:
            raise Overtaken("its journal became shorter")
        read = found.end - self.place.position
        entries = found.entries
        see_all_slots(connections[ALIAS])
        counting = Counting(self._ends, self._mask)
        delta = counting.count(entries, self._asked(entries), self._judged(entries))
        at = max((entry.at for entry in entries), default=0.0)
        self._store(Step(found.end, found.gone, at), delta)
        return read

    def settle(self, seen: float, size: int) -> None:
        """Everything that happened until `seen` was read: who had no answer so long before has given up. Also, a
        journal that is shorter than it was (an older one was brought back) is gone on with from its end."""
        delta = Delta({}, {}, {}, {}, set())
        for session, at in self._ends.items():
            if at + PATIENCE + LATE < seen:
                key = int(at // HOUR), "session", "abandoned", ""
                delta.counts[key] = delta.counts.get(key, 0) + 1
                delta.gone.add(session)
        if delta.gone or size < self.place.position:
            self._store(Step(min(size, self.place.position)), delta)

    def _store(self, step: Step, delta: Delta) -> None:
        storing.store(self.place, step, delta, self._keys)
        for session in delta.gone:
            self._ends.pop(session, None)
        self._ends.update(delta.ends)

    def _asked(self, entries: Iterable[Followed]) -> dict[str, tuple[Followed, Asked]]:
        """The intents of the turns that end here, as far as there are any and they can be read."""
        begun = {entry.turn_id: entry for entry in entries if entry.kind == INTENT}
        ended = [entry.turn_id for entry in entries if entry.kind == COMPLETION]
        wanted = [begun[turn_id] for turn_id in ended if turn_id in begun]
        wanted += _intents(self._tenant_id, [turn_id for turn_id in ended if turn_id not in begun])
        opened = self._opener.open(wanted)
        return {entry.turn_id: (entry, facts.asked(told.json)) for entry, told in zip(wanted, opened, strict=True)}

    def _judged(self, entries: Iterable[Followed]) -> dict[str, Judged]:
        """What the sealed part says of turns of which the readable part says that there is something."""
        wanted = [entry for entry in entries if entry.kind == COMPLETION and facts.is_judged(entry)]
        opened = self._opener.open(wanted)
        return {entry.turn_id: facts.judged(told.json) for entry, told in zip(wanted, opened, strict=True)}


def _intents(tenant_id: int, turn_ids: Sequence[str]) -> list[Followed]:
    """Of turns that began before the page."""
    found: list[Followed] = []
    if turn_ids:
        renew(ALIAS)
        see_all_slots(connections[ALIAS])
    for start in range(0, len(turn_ids), SOME):
        rows = AuditEntry.objects.for_tenant(tenant_id).filter(turn_id__in=turn_ids[start : start + SOME], kind=INTENT)
        found += [
            Followed(
                -1,
                row.pk,
                row.turn_id,
                row.kind,
                row.number,
                row.tenant_id,
                row.at,
                row.session_id,
                row.user,
                row.key_id,
                row.model,
                row.instance,
                row.state,
                bytes(row.body),
            )  # fmt: skip
            for row in rows.order_by()
        ]
    return found


def _masking(tenant_id: int) -> Callable[[str], str] | None:
    names = recognisers_of(tenant_id)
    if not names:
        return None
    scanner = Scanner(names)
    return lambda text: Masker(scanner).whole(text)
