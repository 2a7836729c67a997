"""What plugins have to say, and that a required one is not there, on every protocol."""

from __future__ import annotations

import json

import msgspec
import pytest
from google.protobuf.json_format import MessageToDict

from access import frames
from access.edges.grpc.generated import chat_pb2 as pb
from access.plugin_states import states
from compliance.journal.reader import TurnRecord
from engine.types import Usage
from plugins.active import Active, Loaded
from plugins.base import PluginBase
from tests.access.grpc.client import chat, metadata, served, stream_chat
from tests.access.parts import build
from tests.access.test_edges import sse
from tests.cast import ALICE, CHARLIE
from tests.engine.parts import ScriptedModel
from tests.plugins.turns import chain

ROWS = {"sql": "SELECT 1", "rows": [[1, None, 2.5, "é"]], "deep": {"a": [{}]}}
SAID = {"telling": ROWS}
HI = {"messages": [{"role": "user", "content": "Hi"}]}
MISSING = Active(Loaded("missing", None, LookupError("not installed")), required=True)


class Telling(PluginBase):
    """Asks once more, and tells."""

    name = "telling"

    def post_process(self, response):
        response.metadata = ROWS
        if not response.round:
            response.ask(["Sure?"])


@pytest.fixture
def site():
    return build(ScriptedModel(["Hel", "lo"]), plugins=chain(Telling))


def datas(answer):
    events = [event["data"] for event in sse(answer.body)]
    return [json.loads(data) for data in events if data != "[DONE]"]


async def test_our_own_answers_have_it(site):
    said = (await site.alice.post("/api/chat", HI)).json
    assert (said["metadata"], said["usage"]["total_tokens"]) == (SAID, 16)
    record = (await site.alice.get(f"/api/turns/{said['id']}")).json
    assert record["completion"]["plugins"] == SAID
    assert record["completion"]["rounds"]["prompt_tokens"] == 3
    round_ = site.behind.journal.intents[1]
    path = f"/api/turns/{round_.turn_id}"
    assert (await site.alice.get(path)).json["error"]["code"] == "turn_not_found", "what is between plugin and model"
    assert (await site.alice.get(f"{path}/events")).json["error"]["code"] == "turn_not_found"
    site.keys.people[ALICE.key] = msgspec.structs.replace(ALICE.key_principal, scopes=frozenset({"chat", "audit"}))
    assert (await site.alice.get(path)).json["intent"]["parent_turn"] == said["id"]
    assert (await site.client(CHARLIE.key).get(path)).status == 404


async def test_our_own_streams_have_it(site):
    last = datas(await site.alice.post("/api/chat", {**HI, "stream": True}))[-1]
    assert (last["metadata"], last["usage"]["total_tokens"]) == (SAID, 16)
    async with site.alice.socket() as socket:
        await socket.connect()
        socket.send({"type": "chat", **HI})
        assert (await socket.until("done", "error"))[-1]["metadata"] == SAID


async def test_it_is_there_when_a_stream_is_read_back_from_the_journal(site):
    await site.alice.post("/api/chat", {**HI, "stream": True})
    intent = site.behind.journal.intents[0]
    (end,) = [end for end in site.behind.journal.completions if end.turn_id == intent.turn_id]
    done = json.loads(frames.recorded(TurnRecord(intent.turn_id, intent, end), 0, "en")[-1].split(b"data: ")[1])
    assert (done["metadata"], done["usage"]["total_tokens"]) == (SAID, 16)


async def test_grpc_has_it(site):
    async with served(site) as (_, channel):
        asked = pb.ChatRequest(message="Hi").SerializeToString()
        said = await chat(channel, asked, metadata=metadata(site.alice))
        assert MessageToDict(said.metadata) == SAID
        events = [event async for event in stream_chat(channel, asked, metadata=metadata(site.alice))]
        assert MessageToDict(events[-1].done.metadata) == SAID


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", HI),
        ("/v1/chat/completions", {**HI, "stream_options": {"include_usage": True}}),
        ("/v1/responses", {"input": "Hi"}),
        ("/v1/messages", {**HI, "model": "auto", "max_tokens": 9}),
    ],
)
async def test_other_formats_have_it_in_a_field_of_ours(site, path, body):
    if "stream_options" not in body:
        assert (await site.alice.post(path, body)).json["clawdbot"] == {"plugins": SAID}
    told = datas(await site.alice.post(path, {**body, "stream": True}))
    assert [each for each in told if "clawdbot" in each.get("response", each)][-1:] != []
    ours = [each.get("response", each).get("clawdbot") for each in told]
    assert [each for each in ours if each] == [{"plugins": SAID}]


async def test_no_format_has_it_where_nothing_is_said():
    site = build()
    assert "metadata" not in (await site.alice.post("/api/chat", HI)).json
    for path, body in (("/v1/chat/completions", HI), ("/v1/responses", {"input": "Hi"})):
        assert "clawdbot" not in (await site.alice.post(path, body)).json
        assert b"clawdbot" not in (await site.alice.post(path, {**body, "stream": True})).body


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/chat", HI),
        ("/v1/chat/completions", HI),
        ("/v1/responses", {"input": "Hi"}),
        ("/v1/messages", {**HI, "model": "auto", "max_tokens": 9}),
    ],
)
async def test_a_turn_without_a_required_plugin_is_unavailable(path, body, stream):
    site = build(ScriptedModel(["secret"]), plugins=chain(MISSING))
    answer = await site.alice.post(path, {**body, "stream": stream}, {"Accept-Language": "zh-CN"})
    error = answer.json["error"]
    assert (answer.status, error["code"], error["retryable"]) == (503, "plugin_unavailable", True)
    assert answer.headers["retry-after"] and "插件" in error["message"]
    assert answer.headers["x-clawdbot-decision"] == site.behind.journal.completions[0].turn_id
    assert site.behind.models[0].calls == []


async def test_it_says_how_each_plugin_is_doing_to_whoever_asks_all_workers():
    plugins = chain(Telling, MISSING)
    told = states(plugins)
    assert [each.plugin for each in told("1")] == ["telling", "missing"]
    assert told("2") == told("") == told("x") == told("²") == []


async def test_explaining_asks_plugins_that_do_nothing_else():
    class Finding(PluginBase):
        name = "finding"
        pure = True

        async def pre_process(self, context):
            context.features.update(language="zh", intent="refund")

    site = build(plugins=chain(Finding, MISSING))
    asked = {"message": "Hi"}
    found = (await site.alice.post("/api/route/explain", asked)).json["features"]
    assert (found["language"], found["intent"]) == ("zh", "refund")
    asked["features"] = {"intent": "other"}
    found = (await site.alice.post("/api/route/explain", asked)).json["features"]
    assert (found["language"], found["intent"]) == ("zh", "other")
    assert site.behind.journal.entries == []


def test_usages_add_up():
    assert Usage(1, 2, 3, 4, True, 5) + Usage(10, 20, 30, 40, False, 50) == Usage(11, 22, 33, 44, True, 55)
