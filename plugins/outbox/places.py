"""Where every sink is in its tenant's journal, and which process may move it: a lease in the row itself.

Whoever holds the lease names itself and the old place in every change, so that one that lost it changes nothing. None
of this is configuration: it leaves no change records."""

from __future__ import annotations

import os
import secrets
import socket
import time
from pathlib import Path
from typing import Any, Final

from django.db import transaction

from plugins.models import SinkState

LEASE: Final = 15.0  # seconds; who was killed is followed by another after that
RENEW: Final = 5.0


class LeaseLost(RuntimeError):
    """Another process moves this sink now: nothing was written."""


def found(tenant_id: int, sink: str) -> SinkState | None:
    return SinkState.objects.for_tenant(tenant_id).filter(sink=sink).first()


def make(tenant_id: int, sink: str, *, label: str, position: int, since: float) -> SinkState:
    """The sink's row; where somebody was quicker, theirs."""
    row = SinkState(tenant_id=tenant_id, sink=sink, label=label[:200], position=position, since=since)
    SinkState.objects.bulk_create([row], ignore_conflicts=True)
    made = found(tenant_id, sink)
    assert made is not None
    return made


def holder_of_this_process() -> str:
    """A name nobody else has. Its beginning is the same for all processes that can see each other's numbers."""
    return f"{_neighbours()}:{os.getpid()}:{secrets.token_hex(4)}"


def take(row: SinkState, holder: str) -> bool:
    """Takes the lease, or goes on with it. That of a process which is known to be dead does not count."""
    now = time.time()
    rows = SinkState.objects.for_tenant(row.tenant_id).filter(pk=row.pk)
    free = rows.filter(held_until__lt=now) | rows.filter(holder=holder)
    if row.holder and _is_dead(row.holder):
        free |= rows.filter(holder=row.holder)
    if free.update(holder=holder, held_until=now + LEASE) != 1:
        return False
    row.holder, row.held_until = holder, now + LEASE
    return True


def give_back(holder: str) -> None:
    """All of this process's, so that another one need not wait for them to end."""
    SinkState.objects.everywhere().filter(holder=holder).update(holder="", held_until=0.0)


def move(row: SinkState, **values: Any) -> None:
    """Changes the row, and goes on with the lease. Raises LeaseLost."""
    now = time.time()
    values = {**values, "held_until": now + LEASE, "seen_at": now}
    rows = SinkState.objects.for_tenant(row.tenant_id).filter(pk=row.pk, holder=row.holder)
    with transaction.atomic():
        if "position" in values:
            rows = rows.filter(position=row.position)
        if rows.update(**values) != 1:
            raise LeaseLost(row.sink)
    for name, value in values.items():
        setattr(row, name, value)


def _neighbours() -> str:
    """Of the machine since it started, and of its numbers of processes: containers have their own."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:13]
        return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return socket.gethostname()[:60]


def _is_dead(holder: str) -> bool:
    where, _, rest = holder.partition(":")
    number = rest.partition(":")[0]
    if where != _neighbours() or "/" not in where or not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def skip(row: SinkState, *, position: int) -> None:
    """What lies before the position is not sent: somebody chose so. Who holds the sink notices by itself."""
    SinkState.objects.for_tenant(row.tenant_id).filter(pk=row.pk).update(
        position=position, failures=0, failing_since=None, next_at=0.0, last_error=""
    )
