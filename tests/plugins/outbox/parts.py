"""A journal and a sink in memory, and publishers over them."""

from __future__ import annotations

import time
from concurrent.futures import Executor, Future

from plugins.outbox.declared import Declared
from plugins.outbox.events import Event, moment, wanted
from plugins.outbox.publishing import Publisher
from plugins.outbox.sinks import SinkSpec
from plugins.outbox.sources import Batch, Placed


class Journal:
    """Of one tenant. What is None is no event, or was removed (`pruned`)."""

    def __init__(self, tenant_id=1):
        self.tenant_id = tenant_id
        self.entries = []
        self.pruned = set()

    def add(self, session="", type_="clawdbot.turn.completed", at=None):
        number = len(self.entries)
        at = time.time() if at is None else at
        self.entries.append(
            Placed(
                number,
                Event(
                    id=f"e{number}", source="/tenants/acme", type=type_, subject=f"turns/{number}", time=moment(at),
                    partitionkey=session, data={"number": number},
                ),
                at,
            )
        )  # fmt: skip
        return f"e{number}"

    def heads(self):
        return {self.tenant_id: len(self.entries)}

    def position_at(self, tenant_id, at):
        return next((each.position for each in self.entries if each.at >= at), len(self.entries))

    def read(self, tenant_id, slug, position, most, *, types, content):
        found = self.entries[position : position + most]
        there = [each for each in found if each.position not in self.pruned]
        events = [each for each in there if wanted(each.event.type, types)]
        return Batch(events, position + len(found), len(found) - len(there))

    def age(self, tenant_id, position):
        return max(0.0, time.time() - self.entries[position].at)


class Box:
    """A sink. `refuse(event)` and `away` may raise."""

    def __init__(self):
        self.took = []
        self.opened = self.closed = 0
        self.check = lambda event: None

    def open(self):
        self.opened += 1
        return self

    def send(self, event):
        self.check(event)
        self.took.append(event)
        return 0

    def close(self):
        self.closed += 1

    @property
    def ids(self):
        return [event.id for event in self.took]


def sink_of(box, **options):
    spec = SinkSpec(name="box", open=box.open, **{"events": ("clawdbot.turn.*",), "patience": 0.0, **options})
    return Declared(tenant_id=1, slug="acme", sink="plugin:box:box", spec=spec, since=0.0)


class Here(Executor):
    """Works in the thread that asks, so that a test's transaction is enough."""

    def submit(self, work, *arguments):
        done = Future()
        try:
            done.set_result(work(*arguments))
        except Exception as error:  # noqa: BLE001  # an executor keeps whatever is raised
            done.set_exception(error)
        return done


def publisher_of(journal, *sinks, switch_off=None, most_failing=float("inf"), pool=None):
    def off(it, error):
        raise AssertionError(error)

    return Publisher(
        journal, switch_off or off, most_failing=most_failing, find=lambda: list(sinks), pool=pool or Here()
    )
