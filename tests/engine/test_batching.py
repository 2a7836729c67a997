"""Whoever arrives whenever, with however many inputs: everybody gets exactly their own, and calls keep their bounds."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.batching import Batcher, BatchKey, divided, in_pieces, shared_usage, total_usage
from engine.coalescing import BorrowedRoute
from engine.errors import UpstreamBusy, UpstreamError, UpstreamRejected
from engine.types import Instance, Usage
from tests.engine.parts import PlainRoute

WINDOW = 0.002
LONG = 60.0  # never passes in a test: such a batch is sent because it is full


class Service:
    """Answers each input with itself in capitals; `refuses` inputs, `fails` altogether, waits for `gate`."""

    def __init__(self, refuses=(), fails=None):
        self.calls = []
        self.running = self.most = 0
        self.refuses = set(refuses)
        self.fails = fails
        self.gate = asyncio.Event()
        self.gate.set()
        self.cancelled = 0

    async def __call__(self, items):
        self.calls.append(items)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.gate.wait()
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        if self.fails is not None:
            raise self.fails
        if self.refuses & set(items):
            raise UpstreamRejected("one of them is bad")
        return [item.upper() for item in items]


def instance(size=4, window=WINDOW):
    return Instance(id=1, name="m", batch_size=size, batch_window=window)


class Desk:
    """One batcher before one service; `routes` are those of the calls, not of the callers."""

    def __init__(self, service=None, **limits):
        self.service = service or Service()
        self.batcher = Batcher()
        self.limits = limits
        self.routes = []
        self.borrowed = []

    async def ask(self, *items, tenant=1, alike="", call=None):
        asked = instance(**self.limits)
        call = call or self.service
        if asked.batch_window <= 0 or len(items) >= asked.batch_size:
            return await in_pieces(items, asked.batch_size, call)
        own = PlainRoute(asked, self.service, "m", "m", prompt_tokens=len(items), routes=self.routes)
        self.borrowed.append(BorrowedRoute(own, {}))
        return await self.batcher.run(BatchKey(tenant, self.service, alike), items, self.borrowed[-1], call)

    async def together(self, *callers):
        """All of them ask in one moment; exceptions are results."""
        return await asyncio.gather(*(self.ask(*items) for items in callers), return_exceptions=True)


async def cancel(task):
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


arrivals = st.lists(
    st.tuples(
        st.integers(0, 3),  # tenant
        st.sampled_from(["small", "large"]),  # model
        st.integers(1, 9),  # inputs
        st.sampled_from([0, 0, 0, WINDOW / 2, WINDOW * 2]),  # seconds after the one before
        st.booleans(),  # leaves early
    ),
    max_size=25,
)


@settings(deadline=None, max_examples=60)
@given(arrivals, st.integers(2, 6), st.sampled_from([0.0, WINDOW]))
async def test_it_gives_everybody_exactly_their_own(callers, size, window):
    desk, tasks, left = Desk(size=size, window=window), [], []
    for number, (tenant, model, count, pause, leaves) in enumerate(callers):
        items = [f"t{tenant}-{model}-{number}-{place}" for place in range(count)]
        task = asyncio.create_task(desk.ask(*items, tenant=tenant, alike=model))
        tasks.append((task, items))
        if leaves:
            left.append(task)
        await asyncio.sleep(pause)
        if leaves:
            task.cancel()
    await asyncio.wait([task for task, _ in tasks]) if tasks else None
    for task, items in tasks:
        if task.cancelled():
            assert task in left
        else:
            assert task.result() == [item.upper() for item in items]
    for call in desk.service.calls:
        assert 1 <= len(call) <= size
        assert len({tuple(item.split("-")[:2]) for item in call}) == 1, "two tenants or two models in one call"
    sent = [item for call in desk.service.calls for item in call]
    assert len(sent) == len(set(sent)), "an input was sent twice"
    assert len(desk.batcher) == 0
    assert all(route.told for route in desk.routes)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 3), st.booleans()), max_size=12), st.integers(2, 5))
async def test_a_refused_input_is_its_callers_alone(callers, size):
    asked = [[f"{'bad' if bad else 'good'}-{at}-{n}" for n in range(count)] for at, (count, bad) in enumerate(callers)]
    service = Service(refuses=[item for items in asked for item in items if item.startswith("bad")])
    desk = Desk(service, size=size)
    for items, answer in zip(asked, await desk.together(*asked), strict=True):
        if items[0].startswith("bad"):
            assert type(answer) is UpstreamRejected
        else:
            assert answer == [item.upper() for item in items]
    assert len(service.calls) <= 2 * len(callers)
    assert all(len(route.outcomes) == 1 for route in desk.routes)


async def test_it_sends_what_arrives_together_in_one_call():
    desk = Desk(size=10)
    assert await desk.together(["a"], ["b", "c"], ["d"]) == [["A"], ["B", "C"], ["D"]]
    assert desk.service.calls == [["a", "b", "c", "d"]]
    [route] = desk.routes
    assert (route.prompt_tokens, route.first_tokens, route.outcomes) == (4, 1, [None])


async def test_it_sends_a_full_batch_at_once():
    desk = Desk(size=2, window=LONG)
    assert await desk.together(["a"], ["b"], ["c"], ["d"]) == [["A"], ["B"], ["C"], ["D"]]
    assert desk.service.calls == [["a", "b"], ["c", "d"]]


async def test_it_does_not_part_a_caller_that_has_no_room():
    desk = Desk(size=3)
    await desk.together(["a", "b"], ["c", "d"])
    assert desk.service.calls == [["a", "b"], ["c", "d"]]


async def test_it_sends_too_many_inputs_in_several_calls_in_order():
    for window in (0.0, WINDOW):
        desk = Desk(size=3, window=window)
        assert await desk.ask(*"abcdefgh") == list("ABCDEFGH")
        assert desk.service.calls == [list("abc"), list("def"), list("gh")]


@pytest.mark.parametrize("other", [{"tenant": 2}, {"alike": "b"}])
async def test_it_keeps_apart_what_is_not_alike_or_not_one_tenants(other):
    desk = Desk(size=10)
    await asyncio.gather(desk.ask("a"), desk.ask("b", **other))
    assert sorted(desk.service.calls) == [["a"], ["b"]]


async def test_it_tells_everybody_of_a_failure_in_a_copy_of_their_own():
    desk = Desk(Service(fails=UpstreamBusy("wait", retry_after=3)), size=10)
    first, second = await desk.together(["a"], ["b"])
    assert type(first) is type(second) is UpstreamBusy and first is not second
    assert second.retry_after == 3 and len(desk.service.calls) == 1


async def test_a_failure_is_told_to_the_instance_and_paid_for_once():
    desk = Desk(Service(fails=UpstreamError()), size=10)
    await desk.together(["a"], ["b"], ["c"])
    [route] = desk.routes
    assert [type(outcome) for outcome in route.outcomes] == [UpstreamError] and route.first_tokens == 0
    desk.borrowed[1].toll.paid = True
    assert all(borrowed.toll.paid for borrowed in desk.borrowed)
    await desk.together(["d"])
    assert desk.borrowed[3].toll.paid is None, "another batch is another payment"


async def test_it_repeats_a_refused_batch_one_caller_after_the_other():
    desk = Desk(Service(refuses=["b"]), size=10)
    a, b, c = await desk.together(["a"], ["b"], ["c"])
    assert (a, type(b), c) == (["A"], UpstreamRejected, ["C"])
    assert desk.service.calls == [["a", "b", "c"], ["a"], ["b"], ["c"]] and desk.service.most == 1
    outcomes = [[type(outcome) for outcome in route.outcomes] for route in desk.routes]
    assert outcomes == [[UpstreamRejected], [type(None)], [UpstreamRejected], [type(None)]]


async def test_it_repeats_no_further_where_the_service_fails():
    class Failing(Service):
        async def __call__(self, items):
            if len(self.calls) == 2:
                self.fails = UpstreamBusy()
            return await super().__call__(items)

    desk = Desk(Failing(refuses=["b"]), size=10)
    a, b, c = await desk.together(["a"], ["b"], ["c"])
    assert (a, type(b), type(c)) == (["A"], UpstreamBusy, UpstreamBusy)
    assert len(desk.service.calls) == 3 and all(route.told for route in desk.routes)


async def test_it_hands_on_a_mistake_in_the_program():
    desk = Desk(Service(fails=ZeroDivisionError()), size=10)
    assert [type(answer) for answer in await desk.together(["a"], ["b"])] == [ZeroDivisionError] * 2


async def test_it_does_not_send_a_lone_refused_caller_again():
    desk = Desk(Service(refuses=["a"]), size=10)
    assert type((await desk.together(["a"]))[0]) is UpstreamRejected
    assert desk.service.calls == [["a"]]


async def test_it_never_hands_out_answers_that_do_not_fit():
    async def short(items):
        return [item.upper() for item in items[1:]]

    desk = Desk(size=10)
    answers = await asyncio.gather(desk.ask("a", call=short), desk.ask("b", call=short), return_exceptions=True)
    assert [type(answer) for answer in answers] == [UpstreamError] * 2


async def test_who_leaves_before_the_call_is_not_in_it():
    desk = Desk(size=3, window=LONG)
    tasks = [asyncio.create_task(desk.ask(item)) for item in "ab"]
    await asyncio.sleep(0)
    await cancel(tasks[0])
    assert await desk.together(["c"], ["d"]) == [["C"], ["D"]]
    assert await tasks[1] == ["B"] and desk.service.calls == [["b", "c", "d"]]


async def test_the_last_to_leave_ends_the_batch_before_its_call():
    desk = Desk(size=3, window=LONG)
    task = asyncio.create_task(desk.ask("a"))
    await asyncio.sleep(0)
    await cancel(task)
    assert len(desk.batcher) == 0 and desk.service.calls == []


async def test_who_leaves_does_not_harm_the_others_and_the_last_cancels_the_call():
    desk = Desk(size=3, window=LONG)
    desk.service.gate.clear()
    tasks = [asyncio.create_task(desk.ask(item)) for item in "abc"]
    while not desk.service.calls:
        await asyncio.sleep(0)
    await cancel(tasks[0])
    await cancel(tasks[2])
    assert desk.service.cancelled == 0
    assert desk.routes[0].outcomes == []
    await cancel(tasks[1])
    assert desk.service.cancelled == 1  # when its caller returns, not some time later
    assert isinstance(desk.routes[0].outcomes[0], asyncio.CancelledError)


async def test_the_others_have_their_answers_after_one_has_left():
    desk = Desk(size=2, window=LONG)
    desk.service.gate.clear()
    tasks = [asyncio.create_task(desk.ask(item)) for item in "ab"]
    while not desk.service.calls:
        await asyncio.sleep(0)
    await cancel(tasks[0])
    desk.service.gate.set()
    assert await tasks[1] == ["B"]


@given(st.integers(0, 10**9), st.lists(st.integers(0, 10**6), min_size=1, max_size=50))
def test_shares_are_whole_fair_and_add_up(total, weights):
    shares = divided(total, weights)
    assert sum(shares) == total and all(share >= 0 for share in shares)
    whole = sum(weights) or len(weights)
    for share, weight in zip(shares, weights if any(weights) else [1] * len(weights), strict=True):
        assert abs(share - total * weight / whole) <= 1


def test_it_divides_usage_and_puts_it_together_again():
    usage = Usage(prompt_tokens=10, completion_tokens=7, cached_tokens=3)
    shares = shared_usage(usage, [1, 2, 3], [5, 0, 5])
    assert total_usage(shares) == usage and shares[1].completion_tokens == 0
    assert shared_usage(None, [1, 2], [0, 0]) == [None, None]
    assert total_usage([*shares, None]) is None and total_usage([]) is None
