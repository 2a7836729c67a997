"""The older part of a long session as a layer: made beside the turns, sent in place of what it covers, undone."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from engine.entries import SessionEntry
from engine.errors import Conflict, ContentBlocked, InvalidRequest, NotFound, SessionNotFound, UpstreamError
from engine.snapshots import Cell
from engine.types import ChatRequest, Message
from sessions_app import summarising
from sessions_app.replaying import replay
from sessions_app.sight import Sight
from sessions_app.summarising import TASK, Summaries
from sessions_app.windows import Windows
from tenants.directory import TenantTable
from tenants.isolation import Stores
from tests.cast import ACME, ALICE, BOB, CHARLIE, GLOBEX
from tests.engine import parts as engine_parts
from tests.engine.journal import MemoryJournal
from tests.engine.parts import ScriptedModel
from tests.sessions_app.parts import MemoryPast, sessions

WORDS = "word " * 60  # 75 tokens by the estimate


class Scribe(ScriptedModel):
    """Sums up where it is asked to, else answers."""

    def __init__(self, *summaries):
        super().__init__([WORDS])
        self.summaries = list(summaries)
        self.read: list[str] = []

    async def stream(self, call):
        if call.messages[0].content != TASK:
            speaking = super().stream(call)
        else:
            self.read.append(call.messages[1].content)
            speaking = ScriptedModel(self.summaries.pop(0) if self.summaries else ["In short."]).stream(call)
        async with aclosing(speaking):
            async for event in speaking:
                yield event


class Scene:
    def __init__(self, stores, tenants, *summaries, words=(), window=1000):
        self.model, self.journal = Scribe(*summaries), MemoryJournal()
        self.past = MemoryPast(self.journal)
        self.store = sessions(stores, tenants, self.journal, past=self.past)
        self.engine, self.behind = engine_parts.build(self.model, sessions=self.store, words=words)
        self.behind.journal.entries = self.journal.entries
        self.behind.router.settings = {"context_window": window}
        self.summaries = Summaries(self.store.finder, self.store.changes, self.engine.complete)
        self.store.after_append = self.summaries.after_append
        self.sight = Sight(self.store.finder, Windows(), self.behind.router)
        self.session = None

    async def say(self, text=WORDS, person=ALICE, **fields):
        asked = ChatRequest(messages=[Message("user", text)], remember=True, session_id=self.session, **fields)
        done = await self.engine.complete(person.principal, asked)
        self.session = done.session_id

    async def settled(self):
        while self.summaries._running:
            await asyncio.sleep(0.01)
        await self.engine.drain()

    async def layers(self):
        return (await self.summaries.list(ALICE.principal, self.session))["layers"]

    async def record(self):
        return (await self.store.finder.find(ALICE.principal, self.session))[1]

    async def replayed(self):
        return replay(None, await self.past.events(ACME.id, self.session, user="1")).record

    def entries(self, action):
        return [e for e in self.journal.entries if isinstance(e, SessionEntry) and e.action == action]


@pytest.fixture
async def scene(valkey_url):
    opened = []

    def make(*summaries, model="scribe", template="", **settings):
        views = [ACME.view(summary_model=model, profile_template=template), GLOBEX.view(summary_model=model)]
        tenants = Cell(TenantTable({v.id: v for v in views}, {v.slug: v for v in views}))
        opened.append(Stores([valkey_url], tenants))
        return Scene(opened[-1], tenants, *summaries, **settings)

    yield make
    for stores in opened:
        await stores.close()


async def test_a_conversation_that_outgrows_its_share_is_summed_up(scene):
    scene = scene(["She wants ", "a chair."], window=1300)
    await scene.say("Be so kind: a chair. " + WORDS)
    await scene.say()
    await scene.settled()
    assert await scene.layers() == []
    for _ in range(3):
        await scene.say()
    await scene.settled()
    (layer,) = await scene.layers()
    assert layer["summary"] == "She wants a chair." and layer["in_force"] and not layer["undone"]
    assert layer["model"] == "scribe" and 0 < layer["through"] < 4
    await scene.say("And now?")
    sent = scene.model.calls[-1].messages
    assert "She wants a chair." in sent[0].content and "not an instruction" in sent[0].content
    record = await scene.record()
    assert len(record.turns) == 6, "the turns stay"
    assert sent[1:] == [m for turn in record.turns[layer["through"] : -1] for m in turn] + [Message("user", "And now?")]
    assert "a chair" in scene.model.read[0] and len(scene.model.read) == 1


async def test_it_is_a_turn_of_the_users_own(scene):
    scene = scene()
    for _ in range(5):
        await scene.say()
    await scene.settled()
    (layer,) = await scene.layers()
    intent = next(each for each in scene.journal.intents if each.edge == "summary")
    assert (intent.turn_id, intent.user, intent.tenant_id) == (layer["turn_id"], "1", ACME.id)
    assert intent.session_id is None and intent.model == "scribe"
    assert scene.behind.limiter.open == 0 and scene.journal.states == ["completed"] * 6
    (entry,) = scene.entries("summarised")
    assert entry.user == "1" and entry.detail["layer"]["id"] == layer["id"]


async def test_a_turn_does_not_wait_for_it(scene):
    gate = asyncio.Event()
    scene = scene([gate, "Late."])
    for _ in range(8):
        await asyncio.wait_for(scene.say(), 30)
    assert await scene.layers() == [] and len(scene.model.read) == 1, "one at a time"
    gate.set()
    await scene.settled()
    assert [layer["summary"] for layer in await scene.layers()][0] == "Late."
    record = await scene.record()
    assert len(record.turns) == 8 and record.layers[0].through < 8


async def test_the_next_one_carries_the_last_one_on(scene):
    scene = scene(["First."], ["Second."])
    for _ in range(12):
        await scene.say()
        await scene.settled()
    layers = await scene.layers()
    assert [layer["in_force"] for layer in layers][-1] and sum(layer["in_force"] for layer in layers) == 1
    assert len(layers) >= 2 and layers[0]["through"] < layers[1]["through"]
    assert "earlier summary: First." in scene.model.read[1]
    assert scene.model.read[1].count("user:") == layers[1]["through"] - layers[0]["through"]


async def test_a_replay_of_the_journal_has_it(scene):
    scene = scene()
    for _ in range(6):
        await scene.say()
    await scene.settled()
    await scene.summaries.undo(ALICE.principal, scene.session, (await scene.layers())[0]["id"])
    stored, replayed = await scene.record(), await scene.replayed()
    assert stored.layers == replayed.layers and stored.version == replayed.version and stored.layers[0].undone


async def test_undoing_it_shows_models_the_turns_again(scene):
    scene = scene(window=5000)
    for _ in range(6):
        await scene.say("word " * 30)
    made = await scene.summaries.make(ALICE.principal, scene.session, 3)
    assert made["through"] == 3 and made["in_force"]
    await scene.summaries.undo(ALICE.principal, scene.session, made["id"])
    (layer,) = await scene.layers()
    assert layer["undone"] and not layer["in_force"]
    await scene.summaries.undo(ALICE.principal, scene.session, made["id"])
    assert len(scene.entries("unsummarised")) == 1
    await scene.say("?")
    assert scene.model.calls[-1].messages[0].role == "user"
    with pytest.raises(NotFound):
        await scene.summaries.undo(ALICE.principal, scene.session, "nope")


async def test_what_was_undone_does_not_come_back_by_itself(scene):
    scene = scene()
    for _ in range(5):
        await scene.say()
    await scene.settled()
    (layer,) = await scene.layers()
    await scene.summaries.undo(ALICE.principal, scene.session, layer["id"])
    for _ in range(3):
        await scene.say()
        await scene.settled()
    listed = await scene.summaries.list(ALICE.principal, scene.session)
    assert len(listed["layers"]) == 1 and listed["automatic"] is False
    await scene.summaries.make(ALICE.principal, scene.session)
    assert (await scene.summaries.list(ALICE.principal, scene.session))["automatic"] is True


async def test_without_a_model_nothing_is_summed_up(scene):
    scene = scene(model="")
    for _ in range(8):
        await scene.say()
    await scene.settled()
    assert await scene.summaries.list(ALICE.principal, scene.session) == {"layers": [], "automatic": False}
    assert scene.model.read == []
    with pytest.raises(InvalidRequest, match="no model"):
        await scene.summaries.make(ALICE.principal, scene.session)


async def test_without_a_known_window_nothing_is_outgrown(scene):
    scene = scene(window=None)
    for _ in range(8):
        await scene.say()
    await scene.settled()
    assert await scene.layers() == []
    assert (await scene.sight.read(ALICE.principal, scene.session))["tokens"] is None


async def test_a_failure_costs_no_turn_and_is_not_repeated_at_once(scene, caplog):
    scene = scene([UpstreamError("no")])
    for _ in range(8):
        await scene.say()
        await scene.settled()
    assert await scene.layers() == [] and len(scene.model.read) == 1
    assert "could not be summed up: upstream_error" in caplog.text
    made = await scene.summaries.make(ALICE.principal, scene.session)
    assert made["summary"] == "In short.", "whoever asks is not put off"


async def test_the_guard_reads_summaries(scene):
    scene = scene(["secret"], words=["secret"])
    await scene.say()
    await scene.say()
    with pytest.raises(ContentBlocked):
        await scene.summaries.make(ALICE.principal, scene.session, 1)
    assert await scene.layers() == []


@pytest.mark.parametrize("pieces", [[], ["  \n"]])
async def test_nothing_is_no_summary(scene, pieces):
    scene = scene(pieces)
    await scene.say()
    await scene.say()
    with pytest.raises(UpstreamError):
        await scene.summaries.make(ALICE.principal, scene.session, 1)


async def test_a_long_summary_is_cut(scene):
    scene = scene(["x" * 50_000])
    await scene.say("Hi")
    await scene.say("Hi")
    assert len((await scene.summaries.make(ALICE.principal, scene.session, 1))["summary"]) == summarising.LONGEST


@pytest.mark.parametrize("through", [3, 100, 1_000_000])
async def test_it_covers_turns_that_are_there(scene, through):
    scene = scene()
    await scene.say("Hi")
    await scene.say("Hi")
    with pytest.raises(InvalidRequest):
        await scene.summaries.make(ALICE.principal, scene.session, through)
    await scene.summaries.make(ALICE.principal, scene.session, 2)
    with pytest.raises(InvalidRequest, match="nothing"):
        await scene.summaries.make(ALICE.principal, scene.session, 2)
    with pytest.raises(InvalidRequest, match="nothing"):
        await scene.summaries.make(ALICE.principal, scene.session)


async def test_what_was_changed_meanwhile_is_not_covered(scene):
    gate = asyncio.Event()
    scene = scene([gate, "Of another past."])
    for _ in range(3):
        await scene.say("Hi")
    making = asyncio.ensure_future(scene.summaries.make(ALICE.principal, scene.session, 2))
    while not scene.model.read:
        await asyncio.sleep(0.01)
    home, record = await scene.store.finder.find(ALICE.principal, scene.session)
    detail = {"record": {"turns": [[{"role": "user", "content": "Anew"}]] * 3}}
    await scene.store.changes.make(ALICE.principal, home, scene.session, record, action="restored", detail=detail)
    gate.set()
    with pytest.raises(Conflict):
        await making
    assert await scene.layers() == []


async def test_nor_is_what_was_changed_in_that_very_moment(scene, monkeypatch):
    scene = scene(["Of another past."])
    for _ in range(3):
        await scene.say("Hi")
    make = scene.store.changes.make
    anew = {"record": {"turns": [[{"role": "user", "content": "Anew"}]] * 3}}

    async def racing(principal, home, session_id, record, *, action, detail):
        if action == "summarised":
            await make(principal, home, session_id, record, action="restored", detail=anew)
        return await make(principal, home, session_id, record, action=action, detail=detail)

    monkeypatch.setattr(scene.store.changes, "make", racing)
    with pytest.raises(Conflict):
        await scene.summaries.make(ALICE.principal, scene.session, 2)
    assert [layer["in_force"] for layer in await scene.layers()] == [False]


async def test_others_see_and_do_nothing(scene):
    scene = scene()
    await scene.say("Hi")
    await scene.say("Hi")
    made = await scene.summaries.make(ALICE.principal, scene.session, 1)
    for person in (BOB.principal, CHARLIE.principal):
        for tried in (
            scene.summaries.list(person, scene.session),
            scene.summaries.make(person, scene.session),
            scene.summaries.undo(person, scene.session, made["id"]),
            scene.sight.read(person, scene.session),
        ):
            with pytest.raises(SessionNotFound):
                await tried
    assert (await scene.layers())[0]["in_force"]


async def test_it_can_be_given_up(scene):
    scene = scene([asyncio.Event()])
    for _ in range(6):
        await scene.say()
    assert scene.summaries._running
    await asyncio.wait_for(scene.summaries.stop(), 30)
    await scene.settled()
    assert scene.journal.states[-1] == "cancelled" and await scene.layers() == []
    await scene.say()
    assert not scene.summaries._running


async def test_a_tenant_says_how_the_profile_is_told(scene):
    scene = scene(template="You talk to {name}, who likes {likes}.")
    await scene.say("Hi", user_profile={"name": "Ada", "likes": "tea"})
    assert scene.model.calls[-1].messages[0] == Message("system", "You talk to Ada, who likes tea.")
    await scene.say("Again")
    assert scene.model.calls[-1].messages[0].content == "You talk to Ada, who likes tea."
    assert len((await scene.sight.read(ALICE.principal, scene.session))["messages"]) == 4


async def test_pinned_messages_stay_in_sight(scene):
    scene = scene(model="")
    await scene.say("My order is number 77.")
    await scene.store.patch(ALICE.principal, scene.session, {"pinned": [[0, 0]]})
    for _ in range(8):
        await scene.say()
    sent = scene.model.calls[-1].messages
    assert sent[0].content == "My order is number 77." and 1 < len(sent) < 16


# What a model sees ---------------------------------------------------------------------------------------------------


async def test_it_is_shown_what_a_model_does_not_see(scene):
    scene = scene()
    for _ in range(6):
        await scene.say("word " * 30)
    made = await scene.summaries.make(ALICE.principal, scene.session, 3)
    home, record = await scene.store.finder.find(ALICE.principal, scene.session)
    await scene.store.changes.make(
        ALICE.principal, home, scene.session, record, action="patched", detail={"pinned": [[1, 0]]}
    )
    seen = await scene.sight.read(ALICE.principal, scene.session)
    assert seen["layer"] == made["id"] and seen["model"] == "scripted" and seen["context_window"] == 1000
    assert not seen["exact"] and 0 < seen["tokens"] < 1000
    rows = {(row["turn"], row["message"]): row for row in seen["messages"]}
    assert len(rows) == 12 and rows[0, 0]["left_out"] == "summary" and not rows[0, 0]["sent"]
    assert rows[1, 0]["sent"] and rows[1, 0]["pinned"] and rows[1, 1]["left_out"] == "summary"
    assert all(rows[turn, n]["sent"] and "left_out" not in rows[turn, n] for turn in (3, 4, 5) for n in (0, 1))
    scene.behind.router.settings = {"context_window": 300}
    small = await scene.sight.read(ALICE.principal, scene.session, "gpt-4o")
    assert small["exact"] and small["tokenizer"] == "o200k_base" and small["tokens"] <= 300
    assert any(row.get("left_out") == "no_room" for row in small["messages"])
    assert all(route.told for route in scene.behind.routes), "no call was begun"
