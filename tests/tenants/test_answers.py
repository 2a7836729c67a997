"""Kept answers on a real store: each tenant's own, for as long as it wants, and never a reason to fail."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from engine.caching import is_repeatable, key_of
from engine.errors import StoreUnavailable, TenantSuspended
from engine.snapshots import Cell
from engine.types import CachePolicy, Choice, End, Instance, Message, ModelCall, StoredAnswer, Usage
from tenants.answers import LARGEST, PATIENCE, AnswerStore
from tenants.isolation import Stores
from tests.cast import ACME, ALICE, CHARLIE, GLOBEX, tenant_table
from tests.engine.parts import PlainRoute, ScriptedModel, ask
from tests.services.valkey import ValkeyServer

KEY = "k" * 64
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
FULL = StoredAnswer(
    [
        Choice(
            Message("assistant", "你好\n\u0001 \U0001f600", reasoning_content="hm"), "stop", logprobs={"content": []}
        ),
        Choice(Message("assistant", None, tool_calls=[CALL], refusal="no"), "tool_calls", index=3),
    ],
    End({0: "stop", 3: "tool_calls"}, Usage(7, 9, 1, 2, estimated=True), "chatcmpl-1", "fp_1"),
)


def saying(text: str) -> StoredAnswer:
    return StoredAnswer([Choice(Message("assistant", text), "stop")], End({0: "stop"}, Usage(1, 1)))


@pytest.fixture
def tenants():
    return Cell(tenant_table(ACME.view(cache=CachePolicy(ttl=60))))


@pytest.fixture
async def stores(valkey_url, tenants):
    stores = Stores([valkey_url], tenants)
    yield stores
    await stores.close()


@pytest.fixture
def answers(stores, tenants):
    return AnswerStore(stores, tenants)


@pytest.fixture
async def away(tmp_path, tenants):
    """A store of answers whose server can be ended, and that server."""
    server = ValkeyServer(tmp_path)
    server.start()
    stores = Stores([server.url], tenants)
    yield AnswerStore(stores, tenants), server
    server.kill()
    await stores.close()


async def test_it_gives_an_answer_back_as_it_was(answers):
    assert await answers.get(ACME.id, KEY) is None
    answers.put(ACME.id, KEY, FULL, 60)
    assert await answers.get(ACME.id, KEY) == FULL
    assert await answers.get(ACME.id, "other") is None


async def test_it_keeps_a_tenants_answers_in_its_own_store(answers, stores):
    answers.put(ACME.id, KEY, saying("for acme"), 60)
    assert await answers.get(ACME.id, KEY) == saying("for acme")
    assert await answers.get(GLOBEX.id, KEY) is None
    for other in (stores.tenant(GLOBEX.id), stores.platform()):
        assert await other.call("DBSIZE") == 0


async def test_the_same_prompt_of_another_tenant_has_another_key():
    request = ask("Hi", temperature=0)
    route = PlainRoute(Instance(id=1, name="m", version="v1"), ScriptedModel(), "m", "m")
    call = ModelCall("m", request.messages, request)
    keys = {key_of(person.key_principal, route, call) for person in (ALICE, CHARLIE)}
    assert len(keys) == 2 and None not in keys


async def test_it_keeps_an_answer_as_long_as_it_is_told(answers, stores):
    answers.put(ACME.id, KEY, saying("brief"), 1)
    answers.put(ACME.id, "other", saying("long"), 3600)
    assert 3590_000 < await stores.tenant(ACME.id).call("PTTL", "answer:other") <= 3600_000
    assert await answers.get(ACME.id, KEY) is not None
    async with asyncio.timeout(30):
        while await answers.get(ACME.id, KEY) is not None:
            await asyncio.sleep(0.05)
    assert await answers.get(ACME.id, "other") is not None


async def test_it_leaves_large_answers_out(answers):
    answers.put(ACME.id, KEY, saying("x" * LARGEST), 60)
    assert await answers.get(ACME.id, KEY) is None
    answers.put(ACME.id, KEY, saying("x" * (LARGEST - 1000)), 60)
    assert await answers.get(ACME.id, KEY) is not None


@pytest.mark.parametrize("odd", ["\ud800", object(), {1j: 1}])
async def test_it_leaves_out_what_cannot_be_written(answers, odd):
    choice = Choice(Message("assistant", "x"), "stop", logprobs={"content": [odd]})
    answers.put(ACME.id, KEY, StoredAnswer([choice], End({0: "stop"})), 60)
    assert await answers.get(ACME.id, KEY) is None


@pytest.mark.parametrize(
    "garbage",
    [
        *(b"", b"\xff\xfe", b"null", b"[]", b"{}"),
        *(b'{"choices": [], "end": 5}', b'{"choices": ["\xff"], "end": {}}'),
        b'{"choices": [], "end": {"finish_reasons": {"x": "y"}}}',
        b'{"choices":[{"message":{"role":"a","content":' + b"[" * 3000,
    ],
)
async def test_what_makes_no_sense_is_no_answer(answers, stores, garbage):
    await stores.tenant(ACME.id).call("SET", f"answer:{KEY}", garbage)
    assert await answers.get(ACME.id, KEY) is None


async def test_a_key_of_another_kind_is_no_answer(answers, stores):
    await stores.tenant(ACME.id).call("RPUSH", f"answer:{KEY}", "x")
    assert await answers.get(ACME.id, KEY) is None


async def test_a_store_that_is_away_is_an_empty_one(away):
    answers, server = away
    answers.put(ACME.id, KEY, FULL, 60)
    assert await answers.get(ACME.id, KEY) == FULL
    server.kill()
    assert await answers.get(ACME.id, KEY) is None
    answers.put(ACME.id, KEY, FULL, 60)
    with pytest.raises(StoreUnavailable):
        await answers.forget(ACME.id)


async def test_a_store_that_hangs_holds_no_turn_up(away):
    answers, server = away
    answers.put(ACME.id, KEY, FULL, 60)
    assert await answers.get(ACME.id, KEY) == FULL
    os.kill(server.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert await answers.get(ACME.id, KEY) is None
        assert PATIENCE <= time.monotonic() - began < 30
    finally:
        os.kill(server.pid, signal.SIGCONT)


async def test_it_does_as_the_tenant_chose(answers, tenants):
    assert answers.policy(ALICE.key_principal) == CachePolicy(ttl=60)
    assert not is_repeatable(answers.policy(CHARLIE.key_principal), ask(temperature=0))
    tenants.swap(tenant_table())
    assert answers.policy(ALICE.key_principal) == CachePolicy()


async def test_a_suspended_tenant_keeps_what_it_has_and_one_that_is_gone_has_nothing(answers, tenants):
    answers.put(ACME.id, KEY, FULL, 60)
    tenants.swap(tenant_table(ACME.view(is_active=False)))
    assert await answers.get(ACME.id, KEY) == FULL
    assert await answers.get(99, KEY) is None
    answers.put(99, KEY, FULL, 60)
    with pytest.raises(TenantSuspended):
        await answers.forget(99)


async def test_it_forgets_a_tenants_answers_and_nothing_else(answers, stores):
    for number in range(2_500):
        answers.put(ACME.id, f"{number:064x}", saying(str(number)), 60)
    answers.put(GLOBEX.id, KEY, FULL, 60)
    for name in ("session:{1:1}:s", "answers", "answer"):
        await stores.tenant(ACME.id).call("SET", name, "mine")
    assert await answers.forget(ACME.id) == 2_500
    assert await stores.tenant(ACME.id).call("DBSIZE") == 3
    assert await answers.get(GLOBEX.id, KEY) == FULL
    assert await answers.forget(ACME.id) == 0
