"""What there is to see: figures of the last minutes, sinks that fail, workers and what they say. Blocking."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from django.conf import settings

from access.alerting.judging import Seen
from access.alerting.readings import Recent, before, between, keep, of_all, read
from access.heartbeats import Beat, listed
from compliance.journal.reader import readable
from engine.errors import EngineError
from engine.snapshots import Cell
from plugins.models import SinkState
from routing.models import ModelInstance
from tenants.directory import TenantTable
from tenants.isolation import Stores
from tenants.models import AlertKind as Kind

FEW: Final = 10  # turns: of fewer a rate says nothing
TIMEOUT: Final = 2.0
LOST: Final = 120.0  # seconds: nobody looks after a sink any more
OF_TURNS: Final = frozenset({Kind.COMPLETION_RATE, Kind.ERROR_RATE, Kind.RESPONSE_TIME, Kind.FIRST_TOKEN})
OF_WORKERS: Final = frozenset({Kind.INSTANCE_DOWN, Kind.JOURNAL_WAITS, Kind.CPU})


class Sight(NamedTuple):
    """All there is to see. `recent` None: the journal cannot be read, or nothing is known of some minutes ago; `beats`
    None: the store does not answer."""

    recent: dict[int, Recent] | None
    journal: bool
    beats: Sequence[Beat] | None
    sinks: Sequence[SinkState]
    instances: dict[int, ModelInstance]

    @property
    def unknown(self) -> frozenset[str]:
        """Kinds of which this look says nothing: neither that it is bad nor that it is well."""
        rates = OF_TURNS if self.recent is None else frozenset()
        workers = OF_WORKERS if not self.beats else frozenset()
        return rates | workers | (frozenset({Kind.NO_WORKERS}) if self.beats is None else frozenset())

    def of_tenant(self, tenant_id: int) -> list[Seen]:
        sinks = [sink for sink in self.sinks if sink.tenant_id == tenant_id]
        rates = _rates(self.recent.get(tenant_id, Recent())) if self.recent is not None else []
        return [*rates, *self._instances(tenant_id), *_sinks(sinks, whose=False)]

    def of_platform(self) -> list[Seen]:
        rates = _rates(of_all(self.recent.values())) if self.recent is not None else []
        store, journal = Seen(Kind.STORE_DOWN, "", _flag(self.beats is None)), _flag(not self.journal)
        found = [*rates, store, Seen(Kind.JOURNAL_DOWN, "", journal), *_sinks(self.sinks, whose=True)]
        if self.beats is None:
            return found
        waiting = float(sum(beat.journal_waiting for beat in self.beats))
        cpu = {beat.host: beat.cpu for beat in sorted(self.beats, key=lambda beat: beat.at) if beat.cpu is not None}
        found += [Seen(Kind.NO_WORKERS, "", _flag(not self.beats)), Seen(Kind.JOURNAL_WAITS, "", waiting)]
        found += [Seen(Kind.CPU, host, 100.0 * share) for host, share in cpu.items()]
        return [*found, *self._instances(None)]

    def _instances(self, tenant_id: int | None) -> list[Seen]:
        """Whose breaker is open, and at which share of the workers. An operator sees the platform's."""
        if not self.beats:
            return []
        open_: defaultdict[int, int] = defaultdict(int)
        for beat in self.beats:
            for number in beat.open:
                open_[number] += 1
        mine = {number: each for number, each in self.instances.items() if each.tenant_id == tenant_id}
        return [
            Seen(Kind.INSTANCE_DOWN, name_of(mine[number]), 100.0 * count / len(self.beats))
            for number, count in sorted(open_.items())
            if number in mine
        ]


def look(now: float) -> Sight:
    """Reads it all, and keeps what the next looks need. Raises DatabaseError: the configuration's database is away."""
    recent, journal = _recent(now)
    sinks = SinkState.objects.everywhere().filter(failing_since__isnull=False, seen_at__gte=now - LOST)
    beats = _beats()
    numbers = {number for beat in beats or () for number in beat.open}
    instances = ModelInstance.objects.everywhere().filter(enabled=True).in_bulk(numbers) if numbers else {}
    return Sight(recent, journal, beats, list(sinks.select_related("tenant")), instances)


def name_of(instance: ModelInstance) -> str:
    return (f"{instance.name} ({instance.label})" if instance.label else instance.name)[:200]


def _recent(now: float) -> tuple[dict[int, Recent] | None, bool]:
    try:
        current = readable(lambda: read(now))
    except EngineError:
        return None, False
    earlier = before(now)
    keep(current, now)
    return (between(earlier, current) if earlier is not None else None), True


def _rates(recent: Recent) -> list[Seen]:
    enough = recent.counted >= FEW
    return [
        Seen(Kind.COMPLETION_RATE, "", _percent(recent.completion_rate) if enough else None),
        Seen(Kind.ERROR_RATE, "", _percent(recent.error_rate) if enough else None),
        Seen(Kind.RESPONSE_TIME, "", recent.response_time if enough else None),
        Seen(Kind.FIRST_TOKEN, "", recent.first_token if enough else None),
    ]


def _sinks(sinks: Iterable[SinkState], *, whose: bool) -> list[Seen]:
    now = time.time()
    return [
        Seen(
            Kind.OUTBOX_FAILS,
            (f"{sink.tenant.slug}: {sink}" if whose else str(sink))[:200],
            (now - (sink.failing_since or now)) / 60,
        )
        for sink in sinks
    ]


def _beats() -> list[Beat] | None:
    """None: the store does not answer."""
    try:
        return asyncio.run(_listed())
    except (EngineError, OSError, TimeoutError):
        return None


async def _listed() -> list[Beat]:
    stores = Stores(settings.VALKEY_NODES, Cell(TenantTable()))
    try:
        return await asyncio.wait_for(listed(stores.platform()), TIMEOUT)
    finally:
        await stores.close()


def _percent(share: float | None) -> float | None:
    return None if share is None else 100.0 * share


def _flag(bad: bool) -> float:
    return 1.0 if bad else 0.0
