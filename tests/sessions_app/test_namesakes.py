import asyncio

import pytest

from engine.errors import StoreUnavailable
from sessions_app.namesakes import Namesakes


class Records:
    """Answers once it is let."""

    def __init__(self, *names):
        self.names = set(names)
        self.asked = []
        self.error = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def seen(self, names):
        self.asked.append(sorted(names))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return self.names & set(names)


async def asking(namesakes, *names):
    tasks = [asyncio.ensure_future(namesakes.seen(*name)) for name in names]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_it_asks_one_place_after_the_other_and_the_next_only_for_the_rest():
    archive, journal = Records((1, "a")), Records((1, "b"))
    tasks = await asking(Namesakes(archive, journal), (1, "a"), (1, "b"), (2, "a"))
    assert [await task for task in tasks] == [True, True, False]
    assert archive.asked == [[(1, "a"), (1, "b"), (2, "a")]]
    assert journal.asked == [[(1, "b"), (2, "a")]]


async def test_who_comes_while_it_asks_is_asked_about_next():
    place = Records((1, "a"))
    namesakes = Namesakes(place)
    place.gate.clear()
    first = await asking(namesakes, (1, "b"))
    late = await asking(namesakes, (1, "a"), (1, "a"), (1, "c"))
    assert place.asked == [[(1, "b")]]
    place.names.add((1, "b"))
    place.gate.set()
    assert [await task for task in first + late] == [True, True, True, False]
    assert place.asked[1:] == [[(1, "a"), (1, "c")]]


async def test_a_failure_is_that_of_who_was_asked_about_and_of_nobody_else():
    place = Records()
    namesakes = Namesakes(place)
    place.gate.clear()
    first = await asking(namesakes, (1, "a"), (1, "b"))
    place.error = StoreUnavailable()
    late = await asking(namesakes, (1, "c"))
    place.gate.set()
    told = await asyncio.gather(*first, return_exceptions=True)
    assert [type(error) for error in told] == [StoreUnavailable] * 2
    assert told[0] is not told[1], "each is told more on its way: whose turn it ended, in which language"
    place.error = None
    with pytest.raises(StoreUnavailable):  # it was asked before that
        await late[0]
    assert await namesakes.seen(1, "d") is False


async def test_who_leaves_holds_up_nobody():
    place = Records((1, "b"))
    namesakes = Namesakes(place)
    place.gate.clear()
    leaving, staying = await asking(namesakes, (1, "a"), (1, "b"))
    leaving.cancel()
    await asyncio.sleep(0)
    place.gate.set()
    assert await staying is True
    assert leaving.cancelled()


async def test_who_comes_is_not_held_up_by_what_takes_long(monkeypatch):
    place = Records((1, "b"))
    namesakes = Namesakes(place)
    place.gate.clear()
    stuck, gate = await asking(namesakes, (1, "a")), place.gate
    place.gate = asyncio.Event()
    place.gate.set()
    waiting = await asking(namesakes, (1, "c"))
    monkeypatch.setattr(namesakes, "_late", 0.0)
    assert await namesakes.seen(1, "b") is True
    assert [await task for task in waiting] == [False]
    assert not stuck[0].done()
    place.gate.clear()
    later = await asking(namesakes, (1, "d"))
    gate.set()  # what was stuck takes nothing away from who asks now
    await stuck[0]
    await asking(namesakes, (1, "e"))
    assert place.asked == [[(1, "a")], [(1, "b"), (1, "c")], [(1, "d")]]
    place.gate.set()
    assert await later[0] is False


async def test_what_never_answers_is_away(monkeypatch):
    monkeypatch.setattr("sessions_app.namesakes.PATIENCE", 0.02)
    archive, journal = Records(), Records((1, "a"))
    journal.gate.clear()
    namesakes = Namesakes(archive, journal)
    with pytest.raises(StoreUnavailable):
        await namesakes.seen(1, "a")
    journal.gate.set()
    monkeypatch.undo()
    assert await namesakes.seen(1, "a") is True


async def test_nobody_waits_for_what_was_cancelled():
    place = Records()
    namesakes = Namesakes(place)
    place.gate.clear()
    asked = await asking(namesakes, (1, "a"))
    namesakes._asking.cancel()
    for _ in range(3):
        await asyncio.sleep(0)
    assert asked[0].cancelled()
    place.gate.set()
    assert await namesakes.seen(1, "b") is False


@pytest.mark.parametrize("cancelled", [False, True])
async def test_who_waits_is_asked_about_though_nobody_comes_after(monkeypatch, cancelled):
    """Behind an answer that never comes, and behind a look-up that was cancelled."""
    monkeypatch.setattr("sessions_app.namesakes.SLOW", 0.02)
    place = Records((1, "b"))
    namesakes = Namesakes(place)
    place.gate.clear()
    first = await asking(namesakes, (1, "a"))
    place.gate = asyncio.Event()
    place.gate.set()
    late = await asking(namesakes, (1, "b"))
    if cancelled:
        namesakes._asking.cancel()
    assert await late[0] is True
    first[0].cancel()
