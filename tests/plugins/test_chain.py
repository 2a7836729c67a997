import asyncio
import gc
import threading
import time
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.snapshots import Cell
from engine.types import ChatRequest, Message
from plugins.active import PluginTable
from plugins.base import PluginBase, PluginInterface, PluginSettings
from plugins.chain import PluginChain
from plugins.run import NoPlugins
from tests.cast import ACME, ALICE, CHARLIE
from tests.plugins.turns import active, chain, pre, said


class Logged(PluginBase):
    """Says in `log` when it runs, and does in each hook what `acts` says."""

    timeout = 0.05

    def __init__(self, name, log, before="go", after="go"):
        super().__init__(PluginSettings())
        self.name, self.log, self.before, self.after = name, log, before, after

    async def pre_process(self, context):
        self.log.append(f"pre {self.name}")
        await self.act(self.before, context)

    async def post_process(self, response):
        self.log.append(f"post {self.name}")
        await self.act(self.after, response.context)

    async def act(self, act, context):
        if act == "fail":
            raise LookupError(self.name)
        if act == "hang":
            await asyncio.sleep(60)
        if act == "answer":
            context.answer(self.name)


class Thread(PluginBase):
    name = "thread"

    def pre_process(self, context):
        time.sleep(0.01)
        context.features["thread"] = threading.current_thread().name


async def test_it_costs_a_tenant_without_plugins_nothing():
    plugins = chain(Logged("a", []))
    one, other = await pre(plugins, person=CHARLIE), await pre(plugins, person=CHARLIE)
    assert one is other
    assert (one.answer, one.features, one.touched, one.needs_full_response) == (None, {}, False, False)
    choices = said("x")
    assert await one.post(choices) is choices


async def test_it_changes_messages_and_features():
    class Polite(PluginInterface):
        name = "polite"

        def pre_process(self, context):
            assert (context.tenant, context.user, context.text, context.session_id) == ("acme", "1", "hello", None)
            context.messages.insert(0, Message(role="system", content="Be polite."))
            context.features["language"] = "en"

    class Reader(PluginBase):
        name = "reader"

        async def pre_process(self, context):
            context.features["seen"] = [len(context.messages), dict(context.features)]

    run = await pre(chain(Polite, Reader))
    assert [message.content for message in run.messages] == ["Be polite.", "hello"]
    assert run.features == {"language": "en", "seen": [2, {"language": "en"}]}
    assert run.touched
    assert not run.needs_full_response


async def test_it_tells_whether_messages_were_touched():
    run = await pre(chain(Thread))
    assert not run.touched


async def test_it_sees_what_is_changed_inside_a_message():
    class Deep(PluginBase):
        name = "deep"

        async def pre_process(self, context):
            context.messages[0].content[0]["text"] = "changed"

    asked = [Message(role="user", content=[{"type": "text", "text": "hello"}])]
    run = await pre(chain(Deep), messages=asked)
    assert run.touched
    assert run.messages[0].content[0]["text"] == "changed"
    assert asked[0].content[0]["text"] == "hello"


async def test_it_runs_a_blocking_hook_beside_the_loop():
    run = await pre(chain(Thread))
    assert run.features["thread"].startswith("plugin-")


async def test_it_changes_the_whole_answer_in_reverse():
    def appending(letter):
        class Appending(PluginBase):
            name = letter

            def post_process(self, response):
                response.text += letter

        return Appending

    run = await pre(chain(appending("a"), appending("b")))
    assert run.needs_full_response
    assert (await run.post(said("x")))[0].message.content == "xba"


async def test_it_keeps_a_plugins_state_for_its_own_second_hook():
    class Counting(PluginBase):
        name = "counting"

        def pre_process(self, context):
            context.state["words"] = len(context.text.split())

        def post_process(self, response):
            response.text = f"{response.context.state['words']} words"

    run = await pre(chain(Counting), "one two")
    assert (await run.post(said("x")))[0].message.content == "2 words"


async def test_it_answers_without_those_that_come_after():
    log = []
    run = await pre(chain(Logged("a", log), Logged("b", log, before="answer"), Logged("c", log)))
    assert run.answer == Message(role="assistant", content="b")
    assert log == ["pre a", "pre b", "post b", "post a"]


async def test_it_lets_the_hooks_after_the_model_change_a_plugins_answer():
    class Signed(PluginBase):
        name = "signed"

        async def post_process(self, response):
            response.text += ", signed"

    run = await pre(chain(Signed, Logged("b", [], before="answer")))
    assert run.answer.content == "b, signed"


ACTS = st.sampled_from(["go", "go", "go", "fail", "answer"])


@given(acts=st.lists(st.tuples(ACTS, ACTS), max_size=6))
def test_it_goes_back_through_exactly_those_that_ran(acts):
    async def turn():
        log = []
        plugins = chain(*(Logged(str(number), log, *pair) for number, pair in enumerate(acts)))
        run = await pre(plugins)
        if run.answer is None:
            await run.post(said("x"))
        return log, plugins.skipped

    log, skipped = asyncio.run(turn())
    before = [before for before, _ in acts]
    reached = before.index("answer") + 1 if "answer" in before else len(acts)
    ran = [number for number in range(reached) if before[number] != "fail"]
    assert log == [f"pre {number}" for number in range(reached)] + [f"post {number}" for number in reversed(ran)]
    failures = [number for number in range(reached) if before[number] == "fail"]
    failures += [number for number in ran if acts[number][1] == "fail"]
    assert sum(skipped.values()) == len(failures)


# Plugins that misbehave -------------------------------------------------------------------------------------------


async def test_it_forgets_what_a_failing_hook_changed(caplog):
    class Half(PluginBase):
        name = "half"

        def pre_process(self, context):
            context.messages.clear()
            context.features["half"] = True
            context.answer("half")
            raise LookupError("the rest")

        def post_process(self, response):
            raise AssertionError("its first hook did not run to its end")

    plugins = chain(Half)
    run = await pre(plugins)
    assert (run.touched, run.features, run.answer, run.needs_full_response) == (False, {}, None, False)
    assert plugins.skipped == {("half", "failed"): 1}
    assert "plugin half: pre_process skipped, failed" in caplog.text
    assert "LookupError: the rest" in caplog.text


async def test_it_keeps_the_answer_of_a_hook_that_fails():
    class Half(PluginBase):
        name = "half"

        async def post_process(self, response):
            response.text = "half"
            raise SystemExit

    plugins = chain(Half)
    run = await pre(plugins)
    assert (await run.post(said("whole")))[0].message.content == "whole"
    assert plugins.skipped == {("half", "failed"): 1}


@pytest.mark.parametrize(
    "leave",
    [
        lambda context: setattr(context, "messages", None),
        lambda context: context.messages.append("not a message"),
        lambda context: context.messages.append(Message(role="user", content=5)),
        lambda context: context.messages.append(Message(role="user", content=[{"type": "text", "text": object()}])),
        lambda context: context.features.update(itself=context.features),
        lambda context: context.answer(7),
    ],
)
async def test_it_takes_only_what_can_be_used(leave):
    class Odd(PluginBase):
        name = "odd"

        async def pre_process(self, context):
            leave(context)

    plugins = chain(Odd)
    run = await pre(plugins)
    assert (run.touched, run.features, run.answer) == (False, {}, None)
    assert plugins.skipped == {("odd", "failed"): 1}


@pytest.mark.parametrize("choices", [[], ["x"], None])
async def test_it_takes_only_answers_that_are_answers(choices):
    class Odd(PluginBase):
        name = "odd"

        async def post_process(self, response):
            response.choices = choices

    run = await pre(chain(Odd))
    assert await run.post(said("whole")) == said("whole")


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, StopIteration, RecursionError])
@pytest.mark.parametrize("blocking", [True, False])
async def test_it_survives_whatever_a_hook_raises(error, blocking):
    class Wild(PluginBase):
        name = "wild"

        if blocking:

            def pre_process(self, context):
                raise error

        else:

            async def pre_process(self, context):
                raise error

    plugins = chain(Wild)
    await pre(plugins)
    assert plugins.skipped == {("wild", "failed"): 1}


async def test_it_goes_on_without_a_slow_hook():
    log = []
    plugins = chain(Logged("a", log, before="hang"), Logged("b", log))
    began = time.monotonic()
    run = await pre(plugins)
    await run.post(said("x"))
    assert time.monotonic() - began < 30
    assert log == ["pre a", "pre b", "post b"]
    assert plugins.skipped == {("a", "slow"): 1}


async def test_it_leaves_a_stuck_plugin_alone_until_it_is_free():
    free = threading.Event()

    class Stuck(PluginBase):
        name = "stuck"
        timeout = 0.01

        def pre_process(self, context):
            free.wait(60)

    plugins = chain(Stuck, Thread)
    for _ in range(4):
        run = await pre(plugins)
        assert "thread" in run.features, "the threads are there for the others"
    assert plugins.skipped == {("stuck", "slow"): 2, ("stuck", "stuck"): 2}
    free.set()
    for _ in range(500):
        await asyncio.sleep(0.01)
        plugins.skipped.clear()
        await pre(plugins)
        if not plugins.skipped:
            break
    assert not plugins.skipped


async def test_it_cancels_a_hook_with_its_turn():
    began, ended = asyncio.Event(), asyncio.Event()

    class Waiting(PluginBase):
        name = "waiting"
        timeout = 60

        async def pre_process(self, context):
            began.set()
            try:
                await asyncio.sleep(60)
            finally:
                ended.set()

    turn = asyncio.ensure_future(pre(chain(Waiting)))
    await began.wait()
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    await asyncio.wait_for(ended.wait(), 30)


async def test_it_refuses_a_coroutine_nobody_declared():
    class Sly(PluginBase):
        name = "sly"

        def pre_process(self, context):
            return asyncio.sleep(0)

    plugins = chain(Sly)
    await pre(plugins)
    assert plugins.skipped == {("sly", "failed"): 1}


async def test_it_ignores_what_a_plugin_does_to_a_turn_later():
    kept = []

    class Keeping(PluginBase):
        name = "keeping"

        async def pre_process(self, context):
            context.messages.append(Message(role="user", content="fine"))
            kept.append(context)

    run = await pre(chain(Keeping))
    kept[0].messages.append(Message(role="user", content="smuggled"))
    assert [message.content for message in run.messages] == ["hello", "fine"]


async def test_it_lets_go_of_a_turn_when_it_is_over():
    class Big(dict):
        pass

    seen = []

    class Holding(PluginBase):
        name = "holding"

        def pre_process(self, context):
            context.state = big = Big()
            seen.append(weakref.ref(big))

    plugins = chain(Holding)
    for _ in range(3):
        await pre(plugins)
    await asyncio.sleep(0.05)
    gc.collect()
    assert [reference() for reference in seen] == [None] * 3


async def test_it_swaps_chains_between_turns():
    cell = Cell(PluginTable())
    plugins = PluginChain(cell)
    assert (await pre(plugins)).features == {}
    cell.swap(PluginTable(tenants={1: (active(Thread),)}))
    assert "thread" in (await pre(plugins)).features


def test_a_plugin_without_hooks_costs_a_turn_nothing():
    class Publishing(PluginBase):
        name = "publishing"

    plugins = chain(Publishing)
    alone = plugins.run(ALICE.principal, ChatRequest(messages=[]), None, [], "turn")
    assert isinstance(alone, NoPlugins)
    assert [state.plugin for state in plugins.states(ACME.id)] == ["publishing"]
