"""Fewer, larger events where a caller wants them: the same wish at every edge."""

from __future__ import annotations

import json
import re

import pytest

from tests.access.grpc.client import metadata, served, stream_chat, transcribed
from tests.access.parts import build
from tests.conformance.edges import HI
from tests.engine.parts import ScriptedModel

NAME = "X-Stream-Interval-Ms"
ASKED = {"messages": HI, "stream": True}
POSTED = {
    "/v1/chat/completions": (ASKED, rb'"delta":{[^}]*"content":("[^"]+")'),
    "/v1/messages": ({**ASKED, "max_tokens": 9, "model": "auto"}, rb'"text_delta","text":("[^"]*")'),
    "/v1/responses": ({"input": "Hi", "stream": True, "store": False}, rb'output_text.delta".*"delta":("[^"]*")'),
    "/api/chat": (ASKED, rb'event: delta\ndata: {"content":("[^"]*")'),
}


@pytest.fixture
def site():
    """Whose model has said all of it by the time it is asked."""
    return build(ScriptedModel(["one ", "two ", "three"]))


@pytest.mark.parametrize("path", POSTED)
async def test_events_are_joined_where_a_header_asks_for_it(site, path):
    body, pieces = POSTED[path]
    for headers, expected in (({}, ["one ", "two ", "three"]), ({NAME: "50"}, ["one ", "two three"])):
        answer = await site.alice.request("POST", path, body, headers)
        assert answer.status == 200, answer.body
        assert [json.loads(piece) for piece in re.findall(pieces, answer.body)] == expected


@pytest.mark.parametrize("path", POSTED)
@pytest.mark.parametrize("value", ["51", "-1", "1.5", "", "soon", "1" * 5000])
async def test_a_header_that_says_nothing_of_use_is_refused(site, path, value):
    answer = await site.alice.request("POST", path, POSTED[path][0], {NAME: value})
    assert answer.status == 400 and NAME.encode() in answer.body
    assert not site.behind.models[0].calls


async def test_our_own_contract_has_a_field_for_it(site):
    async with site.alice.socket() as socket:
        await socket.connect()
        socket.send({"type": "chat", "messages": HI, "stream_interval": 20})
        frames = await socket.until("done")
    assert [frame["content"] for frame in frames if frame["type"] == "delta"] == ["one ", "two three"]
    answer = await site.alice.post("/api/chat", {**ASKED, "stream_interval": 51})
    assert answer.status == 400 and answer.json["error"]["param"] == "stream_interval"


async def test_grpc_takes_it_as_metadata(site):
    async with served(site) as (_, channel):
        asked = transcribed({"messages": HI})
        answer = stream_chat(channel, asked, metadata=metadata(site.alice, **{NAME: "20"}))
        said = [event.delta.content async for event in answer if event.HasField("delta")]
    assert said == ["one ", "two three"]


async def test_it_does_not_make_another_request_of_one_that_is_sent_again(site):
    sent = [{NAME: "20"}, {}, {NAME: "0"}]
    answers = [
        await site.alice.request("POST", "/api/chat", ASKED, {"Idempotency-Key": "k", **headers}) for headers in sent
    ]
    assert [answer.status for answer in answers] == [200] * 3
    assert len(site.behind.models[0].calls) == 1
