"""A turn of Alice's through given plugins, without a database or an engine."""

from __future__ import annotations

from engine.snapshots import Cell
from engine.types import ChatRequest, Choice, Message
from plugins.base import PluginBase, PluginSettings
from plugins.chain import PluginChain, PluginTable
from tests.cast import ACME, ALICE


def chain(*plugins: PluginBase | type[PluginBase]) -> PluginChain:
    made = tuple(each(PluginSettings()) if isinstance(each, type) else each for each in plugins)
    return PluginChain(Cell(PluginTable(tenants={ACME.id: made})))


async def pre(plugins: PluginChain, text: str = "hello", person=ALICE, messages=None):
    messages = messages or [Message(role="user", content=text)]
    return await plugins.pre(person.principal, ChatRequest(messages=messages), None, messages, "turn")


def said(text: str) -> list[Choice]:
    return [Choice(message=Message(role="assistant", content=text), finish_reason="stop")]
