"""Turns that ask the same at the same time."""

import asyncio

import msgspec

from engine.types import CachePolicy
from tests.engine.parts import ALICE, ScriptedModel, ask, build

SHARING = CachePolicy(coalesce=True)
BOB = msgspec.structs.replace(ALICE, user="bob", subject="key:2", key_id=2)
CHARLIE = msgspec.structs.replace(ALICE, tenant_id=2, tenant="rival")


def sharing(*models, policy=SHARING, **fields):
    engine, parts = build(*models, **fields)
    parts.answers.chosen = policy
    return engine, parts


def question(text="Hi", **fields):
    return ask(text, **{"temperature": 0, **fields})


def asking(engine, principal=ALICE, **fields):
    return asyncio.ensure_future(engine.complete(principal, question(**fields)))


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0)


def calls(parts):
    return [len(model.calls) for model in parts.models]


def gated(*pieces, before=()):
    gate = asyncio.Event()
    return gate, ScriptedModel([*before, gate, *pieces])
