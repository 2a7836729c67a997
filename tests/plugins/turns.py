"""A turn of Alice's through given plugins, without a database or an engine."""

from __future__ import annotations

from engine.snapshots import Cell
from engine.types import ChatRequest, Choice, Message
from plugins.active import Active, PluginTable
from plugins.base import PluginBase, PluginSettings
from plugins.chain import PluginChain
from tests.cast import ACME, ALICE


def chain(*plugins: PluginBase | type[PluginBase] | Active, **parts) -> PluginChain:
    return PluginChain(Cell(PluginTable(tenants={ACME.id: tuple(map(active, plugins))})), **parts)


def active(plugin: PluginBase | type[PluginBase] | Active, **fields) -> Active:
    if isinstance(plugin, Active):
        return plugin
    return Active.of(plugin(PluginSettings()) if isinstance(plugin, type) else plugin, **fields)


async def pre(plugins: PluginChain, text: str = "hello", person=ALICE, messages=None):
    messages = messages or [Message(role="user", content=text)]
    run = plugins.run(person.principal, ChatRequest(messages=messages), None, messages, "turn")
    await run.pre()
    return run


def said(text: str) -> list[Choice]:
    return [Choice(message=Message(role="assistant", content=text), finish_reason="stop")]
