"""A session that begins under the id of one that was deleted has nothing of it, and is not ended with it."""

from __future__ import annotations

import pytest

from tests.cast import ALICE
from tests.sessions_app.conversing import turn
from tests.sessions_app.lives import back_in_time, save

ME = ALICE.principal


async def said(store):
    read = await store.read(ME, "a")
    return [message["content"] for message in read["context_stack"] if message["role"] == "user"]


@pytest.mark.parametrize("turns", [1, 3, 9])
async def test_a_deletion_from_before_it_does_not_end_it_in_another_life_of_the_server(shaky, saving, turns):
    store, stores = shaky
    for text in ("old", "older"):
        await turn(store, ME, "a", text)
    await store.delete(ME, "a")
    new = [str(number) for number in range(turns)]
    for text in new:
        await turn(store, ME, "a", text)
    before = await store.read(ME, "a")
    await save(stores)
    await turn(store, ME, "a", "lost")
    await back_in_time(saving, stores)
    assert await said(store) == [*new, "lost"]
    assert (await store.read(ME, "a"))["version"] == before["version"] + 1
    assert await turn(store, ME, "a", "on") == before["version"] + 2
    assert await said(store) == [*new, "lost", "on"]
