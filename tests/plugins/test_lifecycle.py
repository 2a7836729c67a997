import asyncio
import threading

import pytest

from engine.snapshots import Cell
from plugins import activations, registry
from plugins.activations import compile_plugins
from plugins.active import Active, PluginTable
from plugins.base import PluginBase, PluginSettings
from plugins.chain import PluginChain
from plugins.lifecycle import close, close_replaced
from plugins.models import PluginActivation
from tests.plugins.turns import pre


class Pooled(PluginBase):
    name = "pooled"

    class Settings(PluginSettings):
        size: int = 1

    def open(self):
        self.opened, self.closed = True, 0

    async def pre_process(self, context):
        """It takes part in turns."""

    async def close(self):
        self.closed += 1


class Unopened(Pooled):
    name = "unopened"

    def open(self):
        raise ConnectionError("nobody there")


@pytest.fixture(autouse=True)
def installed():
    with registry.registered(Pooled, Unopened):
        yield


def table_of(*plugins):
    made = [Active.of(plugin) for plugin in plugins]
    rows = {number: (each.name, b"{}", each.loaded) for number, each in enumerate(made)}
    return PluginTable({1: tuple(made)}, rows)


def opened():
    plugin = Pooled(Pooled.Settings())
    plugin.open()
    return plugin


async def test_it_closes_what_was_replaced():
    gone, kept = opened(), opened()
    before = table_of(gone, kept)
    after = PluginTable({1: before.tenants[1][1:]}, {1: before.made[1]})
    await close_replaced(before, after)
    assert (gone.closed, kept.closed) == (1, 0)


async def test_it_waits_for_turns_that_use_it():
    plugin = opened()
    before = table_of(plugin)
    plugins = PluginChain(Cell(before))
    first, second = await pre(plugins), await pre(plugins)
    closing = asyncio.ensure_future(close_replaced(before, PluginTable()))
    first.release()
    await asyncio.sleep(0.02)
    assert not plugin.closed
    second.release()
    await asyncio.wait_for(closing, 20)
    assert plugin.closed == 1


async def test_it_lets_go_of_a_turn_once():
    plugins = PluginChain(Cell(table_of(opened())))
    run = await pre(plugins)
    run.release()
    run.release()
    assert [each.uses for each in plugins._cell.value.loaded()] == [0]


async def test_it_does_not_wait_for_ever():
    plugin = opened()
    table = table_of(plugin)
    await pre(PluginChain(Cell(table)))
    await close(table.loaded(), wait=0.01)
    assert plugin.closed == 1


@pytest.mark.parametrize("error", [LookupError, SystemExit])
async def test_it_closes_the_others_when_one_cannot_close(error, caplog):
    class Bad(Pooled):
        async def close(self):
            raise error

    bad, good = Bad(Bad.Settings()), opened()
    await close_replaced(table_of(bad, good), PluginTable())
    assert good.closed == 1 and "could not be closed" in caplog.text


def row(cast, plugin="pooled", **fields):
    made = PluginActivation(tenant=cast.acme, plugin=plugin, **fields)
    made.full_clean()
    made.save()
    return made


def test_it_opens_a_plugin_once_for_its_settings(cast):
    made = row(cast)
    first = compile_plugins()
    (active,) = first.tenants[cast.acme.pk]
    assert active.loaded.plugin.opened
    made.timeout, made.required = 5.0, True
    made.save()
    second = compile_plugins(first)
    (changed,) = second.tenants[cast.acme.pk]
    assert changed.loaded is active.loaded, "what it has counted and opened stays"
    assert (active.timeout, active.required) == (1.0, False)
    assert (changed.timeout, changed.required) == (5.0, True)
    made.settings = {"size": 2}
    made.save()
    (other,) = compile_plugins(second).tenants[cast.acme.pk]
    assert other.loaded is not active.loaded


def test_it_takes_a_plugin_that_cannot_open_for_missing(cast):
    row(cast, "unopened")
    (active,) = compile_plugins().tenants[cast.acme.pk]
    state = active.state()
    assert (state.breaker, state.last_error) == ("missing", "ConnectionError: nobody there")


def test_it_waits_for_no_plugin_that_does_not_open(cast, monkeypatch):
    free = threading.Event()
    monkeypatch.setattr(Unopened, "open", lambda self: free.wait(60))
    monkeypatch.setattr(activations, "OPENING", 0.02)
    row(cast, "unopened")
    row(cast)
    hanging, fine = compile_plugins().tenants[cast.acme.pk]
    assert hanging.state().last_error == "TimeoutError: it was not open after 0.02 s"
    assert fine.loaded.plugin.opened
    free.set()


def test_it_tries_again_to_make_what_was_missing(cast, monkeypatch):
    row(cast, "unopened")
    first = compile_plugins()
    monkeypatch.setattr(Unopened, "open", Pooled.open)
    (active,) = compile_plugins(first).tenants[cast.acme.pk]
    assert active.loaded.plugin is not None


@pytest.mark.parametrize("timeout", [0, -1, 61])
def test_it_takes_no_odd_time(cast, timeout):
    with pytest.raises(Exception, match="timeout"):
        row(cast, timeout=timeout)
