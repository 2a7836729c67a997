"""Plugins a turn may not do without, the breaker, and what is counted of them."""

import asyncio
import time

import pytest

from engine.errors import PluginUnavailable
from engine.types import Message
from plugins import breaker
from plugins.active import Active, Loaded
from plugins.base import PluginBase, PluginSettings
from plugins.hooks import BLOCKED
from plugins.states import PluginState
from tests.engine.parts import ALICE, ScriptedModel, ask, build, nothing_left
from tests.plugins.turns import active, chain, pre, said

NOTHING = LookupError("no such thing")


class Failing(PluginBase):
    name = "failing"

    def __init__(self, error=NOTHING):
        super().__init__(PluginSettings())
        self.error, self.calls = error, 0

    async def pre_process(self, context):
        self.calls += 1
        if self.error is not None:
            raise self.error


class Hanging(PluginBase):
    name = "hanging"

    async def post_process(self, response):
        await asyncio.sleep(60)


MISSING = Active(Loaded("missing", None, LookupError("not installed")), required=True)


@pytest.mark.parametrize(
    ("plugin", "reason", "calls"),
    [
        (active(Failing(), required=True), "failed", 0),
        (MISSING, "missing", 0),
        (active(Hanging, required=True, timeout=0.02), "slow", 1),
    ],
)
async def test_it_stops_a_turn_without_a_required_plugin(plugin, reason, calls):
    engine, parts = build(ScriptedModel(["secret"]), plugins=chain(plugin))
    with pytest.raises(PluginUnavailable) as refused:
        await engine.complete(ALICE, ask(remember=True))
    assert len(parts.models[0].calls) == calls
    (end,) = parts.journal.completions
    assert (end.state, end.error) == ("failed", "plugin_unavailable")
    assert [each.reason for each in end.skipped] == [reason]
    assert "secret" not in str(end) and parts.sessions.kept == {}
    assert refused.value.turn_id == end.turn_id and refused.value.retryable
    await nothing_left(engine, parts)


async def test_it_goes_on_without_a_plugin_that_is_not_there():
    missing = Active(Loaded("missing", None, LookupError("not installed")))
    engine, parts = build(plugins=chain(missing))
    await engine.complete(ALICE, ask())
    assert [each.reason for each in parts.journal.completions[0].skipped] == ["missing"]


async def test_it_stops_no_rehearsal():
    engine, _ = build(plugins=chain(MISSING))
    async with engine.rehearsed(ALICE, ask()):
        pass


class Time:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def broken(plugin):
    clock = Time()
    loaded = Loaded(plugin.name, plugin, monotonic=clock)
    return Active(loaded, plugin.timeout), clock


async def test_it_leaves_a_plugin_alone_that_fails_again_and_again():
    plugin = Failing()
    failing, clock = broken(plugin)
    plugins = chain(failing)
    for _ in range(breaker.FAILURES + 3):
        run = await pre(plugins)
    assert plugin.calls == breaker.FAILURES
    assert [each.reason for each in run.skipped] == ["open"]
    (state,) = plugins.states(1)
    assert (state.breaker, state.retry_in, state.failures) == ("open", breaker.PAUSE, breaker.FAILURES)
    assert state.outcomes == {"failed": 5, "open": 3}
    assert state.last_error == "LookupError: no such thing"
    clock.now += breaker.PAUSE
    await pre(plugins)
    await pre(plugins)
    assert plugin.calls == breaker.FAILURES + 1, "one is tried, and fails"
    clock.now += breaker.PAUSE
    plugin.error = None
    await pre(plugins)
    await pre(plugins)
    assert plugin.calls == breaker.FAILURES + 3
    assert plugins.states(1)[0].breaker == "closed"


async def test_it_tries_one_at_a_time():
    gate = asyncio.Event()

    class Waiting(Failing):
        async def pre_process(self, context):
            self.calls += 1
            await gate.wait() if self.error is None else None
            if self.error is not None:
                raise self.error

    plugin = Waiting()
    waiting, clock = broken(plugin)
    plugins = chain(waiting)
    for _ in range(breaker.FAILURES):
        await pre(plugins)
    clock.now += breaker.PAUSE
    plugin.error = None
    first = asyncio.ensure_future(pre(plugins))
    while plugins.states(1)[0].breaker != "half_open":
        await asyncio.sleep(0)
    assert [each.reason for each in (await pre(plugins)).skipped] == ["open"]
    first.cancel()
    await asyncio.wait([first])
    second = asyncio.ensure_future(pre(plugins))
    gate.set()
    assert (await second).skipped == [], "the trial that was cancelled says nothing"
    assert plugins.states(1)[0].breaker == "closed"


async def test_it_counts_each_hook_by_itself():
    class Half(PluginBase):
        name = "half"
        broken = True

        async def pre_process(self, context):
            """Is always well."""

        async def post_process(self, response):
            if self.broken:
                raise LookupError

    plugin = Half(PluginSettings())
    half, clock = broken(plugin)
    plugins = chain(half)

    async def reasons():
        run = await pre(plugins)
        await run.post(said("x"))
        return [each.reason for each in run.skipped]

    found = [await reasons() for _ in range(breaker.FAILURES + 1)]
    assert found == [["failed"]] * breaker.FAILURES + [["open"]]
    clock.now += breaker.PAUSE
    assert await reasons() == ["failed"], "the one that is tried is well, and the other fails again"
    assert await reasons() == ["open"]
    clock.now += breaker.PAUSE
    plugin.broken = False
    assert [await reasons() for _ in range(3)] == [[]] * 3


async def test_it_forgets_a_trial_that_was_cancelled_in_one_piece():
    gate = asyncio.Event()

    class Waiting(PluginBase):
        name = "waiting"
        needs_full_response = True
        timeout = 60.0
        broken = True

        async def process_delta(self, delta):
            if self.broken:
                raise LookupError
            await gate.wait()

    plugin = Waiting(PluginSettings())
    waiting, clock = broken(plugin)
    plugins = chain(waiting)
    for _ in range(breaker.FAILURES):
        await (await pre(plugins)).post(said("x"))
    clock.now += breaker.PAUSE
    plugin.broken = False
    run = await pre(plugins)
    trial = asyncio.ensure_future(run.post(said("x")))
    while plugins.states(1)[0].breaker != "half_open":
        await asyncio.sleep(0)
    trial.cancel()
    await asyncio.wait([trial])
    gate.set()
    run = await pre(plugins)
    assert (await run.post(said("x")))[0].message.content == "x" and run.skipped == []
    assert plugins.states(1)[0].breaker == "closed"


async def test_it_counts_only_failures_in_a_row():
    plugin = Failing()
    plugins = chain(plugin)
    for number in range(4 * breaker.FAILURES):
        plugin.error = LookupError() if number % breaker.FAILURES else None
        await pre(plugins)
    assert plugin.calls == 4 * breaker.FAILURES


async def test_it_tells_apart_tenants_and_plugins():
    bad, good = Failing(), Failing(None)
    good.name = "good"
    plugins = chain(bad, good)
    for _ in range(breaker.FAILURES + 1):
        await pre(plugins)
    assert [state.breaker for state in plugins.states(1)] == ["open", "closed"]
    assert plugins.states(2) == []


async def test_it_finds_out_who_keeps_the_event_loop_busy():
    class Busy(PluginBase):
        name = "busy"
        timeout = 60

        async def pre_process(self, context):
            await asyncio.sleep(0)
            time.sleep(BLOCKED + 0.05)
            context.features["busy"] = True

    plugins = chain(Busy)
    run = await pre(plugins)
    assert run.features == {"busy": True} and run.skipped == []
    assert plugins.states(1)[0].outcomes == {"blocked": 1}
    for _ in range(breaker.FAILURES - 1):
        await pre(plugins)
    assert plugins.states(1)[0].breaker == "open"


async def test_it_tells_how_long_hooks_took():
    class Told:
        def __init__(self):
            self.seen = []

        def hook(self, **said):
            self.seen.append(said)

    meter = Told()
    plugins = chain(Failing(None), Failing(), meter=meter)
    await pre(plugins)
    assert [(each["plugin"], each["hook"], each["outcome"]) for each in meter.seen] == [
        ("failing", "pre_process", "ok"),
        ("failing", "pre_process", "failed"),
    ]
    assert all(each["seconds"] > 0 for each in meter.seen)


async def test_it_says_how_each_plugin_is_doing():
    class Late(Failing):
        async def pre_process(self, context):
            await asyncio.sleep(0.005)  # what takes no time rounds to none
            await super().pre_process(context)

    plugins = chain(active(Late(ValueError("x" * 999)), required=True), MISSING)
    with pytest.raises(PluginUnavailable):
        await pre(plugins)
    first, missing = plugins.states(1)
    assert isinstance(first, PluginState)
    assert (first.required, first.calls, first.failures, len(first.last_error)) == (True, 1, 1, 300)
    assert first.last_error_at is not None and first.seconds >= first.slowest > 0
    assert (missing.breaker, missing.last_error) == ("missing", "LookupError: not installed")


async def test_it_takes_the_time_of_the_tenant():
    plugins = chain(active(Hanging, timeout=0.01))
    run = await pre(plugins)
    began = time.monotonic()
    await run.post(said("x"))
    assert time.monotonic() - began < 30
    assert [each.reason for each in run.skipped] == ["slow"]


async def test_it_lets_no_plugin_have_all_threads():
    started = []

    class Slow(PluginBase):
        name = "slow"
        timeout = 60

        def pre_process(self, context):
            started.append(1)
            while len(started) < 100:
                time.sleep(0.005)

    class Quick(PluginBase):
        name = "quick"

        def pre_process(self, context):
            context.features["quick"] = True

    slow, quick = chain(Slow), chain(Quick)
    quick._runner = slow._runner
    turns = [asyncio.ensure_future(pre(slow)) for _ in range(30)]
    while len(started) < 8:
        await asyncio.sleep(0.005)
    assert (await pre(quick)).features == {"quick": True}
    assert len(started) == 8
    started.extend([1] * 100)
    assert [run.skipped for run in await asyncio.gather(*turns)] == [[]] * 30


async def test_it_keeps_the_messages_of_a_turn_that_fails():
    engine, parts = build(plugins=chain(active(Failing(), required=True)))
    with pytest.raises(PluginUnavailable):
        await engine.complete(ALICE, ask("Hi"))
    assert parts.journal.intents[0].messages == [Message("user", "Hi")]
