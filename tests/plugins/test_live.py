"""A tenant's change of its plugins reaches every worker over the bus, into the next turn."""

import asyncio
import time

import pytest

from engine.snapshots import Cell
from plugins import registry
from plugins.activations import compile_plugins
from plugins.active import PluginTable
from plugins.base import PluginBase, PluginSettings
from plugins.chain import PluginChain
from plugins.models import PluginActivation
from tenants.live import CHANNEL, LiveConfig, bus
from tests.cast import CHARLIE
from tests.plugins.turns import pre

PATIENCE = 60


class Marking(PluginBase):
    name = "marking"

    class Settings(PluginSettings):
        mark: str = "x"

    async def pre_process(self, context):
        context.features["mark"] = context.features.get("mark", "") + self.settings.mark


class MarkingToo(Marking):
    name = "marking_too"


class Worker:
    def __init__(self, url):
        self.cell = Cell(PluginTable())
        self.plugins = PluginChain(self.cell)
        self.live = LiveConfig(url, interval=600)  # only what it hears of counts
        self.live.register("plugins", lambda: compile_plugins(self.cell.value), self.cell.swap, slow=True)
        self.live.load()
        self.live.start()

    def mark(self, **person):
        return asyncio.run(pre(self.plugins, **person)).features.get("mark")


@pytest.fixture
def workers(transactional_db, cast, valkey_url):
    with registry.registered(Marking, MarkingToo):
        made = [Worker(valkey_url) for _ in range(2)]
        until(lambda: listeners(valkey_url) == 2)
        yield made
        for each in made:
            each.live.stop()


def listeners(url):
    with bus(url, 1) as client:
        return dict(client.pubsub_numsub(CHANNEL))[CHANNEL.encode()]


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def test_it_is_live_in_every_worker(workers, cast):
    def all_say(mark):
        until(lambda: [each.mark() for each in workers] == [mark, mark])

    first = PluginActivation.objects.create(tenant=cast.acme, plugin="marking", position=1)
    all_say("x")
    first.settings = {"mark": "a"}
    first.save()
    all_say("a")
    second = PluginActivation.objects.create(
        tenant=cast.acme, plugin="marking_too", position=2, settings={"mark": "b"}, required=True, timeout=0.5
    )
    all_say("ab")
    assert [each.cell.value.tenants[cast.acme.pk][1].timeout for each in workers] == [0.5, 0.5]
    first.position = 3
    first.save()
    all_say("ba")
    second.enabled = False
    second.save()
    all_say("a")
    first.delete()
    all_say(None)
    assert [each.mark(person=CHARLIE) for each in workers] == [None, None]
