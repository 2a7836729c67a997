"""Switched on by a row, as tenants do it."""

import asyncio

import pytest

from engine.snapshots import Cell
from engine.types import ChatRequest, Message
from plugins.activations import compile_plugins
from plugins.chain import PluginChain
from plugins.models import PluginActivation
from tests.cast import ALICE, CHARLIE

pytestmark = pytest.mark.django_db


async def found(chain, person, text):
    messages = [Message(role="user", content=text)]
    run = chain.run(person.principal, ChatRequest(messages=messages), None, messages, "turn", rehearsal=True)
    await run.pre()
    return run.features.get("language")


def test_it_works_for_its_tenant_alone_also_where_a_turn_is_only_explained(cast):
    PluginActivation.objects.create(tenant=cast.acme, plugin="language", settings={"languages": ["zh", "en", "fr"]})
    chain = PluginChain(Cell(compile_plugins()))
    assert asyncio.run(found(chain, ALICE, "Où est ma commande, s'il vous plaît ?")) == "fr"
    assert asyncio.run(found(chain, CHARLIE, "Où est ma commande, s'il vous plaît ?")) is None
    assert chain.spoken(ALICE.principal, ChatRequest(messages=[Message(role="user", content="我的订单")])) == "zh-Hans"
    assert chain.spoken(CHARLIE.principal, ChatRequest(messages=[Message(role="user", content="我的订单")])) is None
