"""A model of its own for each language, and refusals in the language a turn is written in: through the edges."""

import asyncio

import grpc
import msgspec
import pytest

from access.answers import DecisionAnswer
from access.edges.grpc.generated import chat_pb2 as pb
from access.languages import TEXTS
from engine import errors
from plugins import registry
from plugins.builtin.language import Language
from tests.access.grpc.client import chat, converse, metadata, served, stream_chat
from tests.access.parts import build
from tests.engine.parts import ScriptedModel
from tests.plugins.turns import chain
from tests.routing.fleet import Fleet, entry

BLOCKED = errors.ContentBlocked.text
ENGLISH, CHINESE = "Where is my order, and when will it arrive?", "请问我的订单到哪里了，什么时候能送到？"


def detecting(**settings):
    plugin = Language(registry.read_settings(Language, settings))
    plugin.open()
    return chain(plugin)


@pytest.fixture(scope="module")
def plugins():
    return detecting()


@pytest.fixture
def site(plugins):
    fleet = Fleet(
        [
            entry(1, "qwen", languages=("zh",)),
            entry(2, "llama", languages=("en",)),
            entry(3, "eurollm", languages=("fr",)),
        ]
    )
    return build(plugins=plugins, router=fleet.router, words=["坏", "wicked"])  # fmt: skip


async def model(site, message, language=None, header=None):
    headers = {"Accept-Language": header} if header else {}
    answer = await site.alice.post(
        "/api/chat", {"message": message, "language": language} if language else {"message": message}, headers
    )
    return answer.json["model"], site.behind.journal.intents[-1].decision  # fmt: skip


async def test_each_language_has_a_model_of_its_own(site):
    found, decision = await model(site, CHINESE)
    assert (found, decision["language"]["tag"], decision["features"]["language"]) == ("qwen", "zh-Hans", "zh")
    found, decision = await model(site, ENGLISH)
    assert (found, decision["language"]["source"]) == ("llama", "text")
    assert (await model(site, "Où est ma commande, s'il vous plaît ?"))[0] == "eurollm"
    assert (await model(site, ENGLISH, header="fr-CH, en;q=0.5"))[0] == "eurollm"
    assert (await model(site, ENGLISH, language="zh", header="fr"))[0] == "qwen"
    found, decision = await model(site, "Gdzie jest moje zamówienie?")
    assert (decision["features"]["language"], decision["fallback"]) == ("pl", {"language": "pl"})


async def test_openais_edge_goes_by_it_too(site):
    body = {"model": "auto", "messages": [{"role": "user", "content": CHINESE}]}
    assert (await site.alice.post("/v1/chat/completions", body)).json["model"] == "qwen"
    assert (await site.alice.post("/v1/chat/completions", body, {"Accept-Language": "en"})).json["model"] == "llama"


async def refused(site, message, headers=None, **body):
    answer = await site.alice.post("/api/chat", {"message": message, **body}, headers or {})
    assert answer.status == 400
    return answer.json["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_is_told_in_the_language_it_is_asked_in(site, stream):
    assert await refused(site, "我想做一件很坏的事情，你能帮帮我吗", stream=stream) == TEXTS["zh-hans"][BLOCKED]
    assert await refused(site, "Peux-tu m'aider à faire une chose wicked ?", stream=stream) == TEXTS["fr"][BLOCKED]
    assert await refused(site, "Can you help me with a wicked thing?", stream=stream) == BLOCKED
    german = {"Accept-Language": "de"}
    assert await refused(site, "我想做一件很坏的事情", german, stream=stream) == TEXTS["de"][BLOCKED]
    assert await refused(site, "我想做一件很坏的事情", language="en", stream=stream) == BLOCKED


async def test_the_other_edges_tell_it_so_too(site):
    body = {"messages": [{"role": "user", "content": "我想做一件很坏的事情"}]}
    answer = await site.alice.post("/v1/chat/completions", body)
    assert answer.json["error"]["message"] == TEXTS["zh-hans"][BLOCKED]
    answer = await site.alice.post("/v1/messages", {"model": "auto", "max_tokens": 9, **body})
    assert answer.json["error"]["message"] == TEXTS["zh-hans"][BLOCKED]
    async with site.alice.socket(headers=site.alice.headers) as socket:
        await socket.connect()
        socket.send({"type": "chat", "message": "我想做一件很坏的事情"})
        assert (await socket.until("error"))[-1]["message"] == TEXTS["zh-hans"][BLOCKED]


async def test_grpc_tells_it_so_too(site):
    asked = pb.ChatRequest(message="我想做一件很坏的事情，你能帮帮我吗")
    own = metadata(site.alice)
    async with served(site) as (_, channel):

        async def refusal(request, **more):
            calls = [chat(channel, request, metadata=metadata(site.alice, **more))]
            calls.append(stream_chat(channel, request, metadata=metadata(site.alice, **more)))
            told = set()
            for call in calls:
                assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
                told.add(await call.details())
            return told

        assert await refusal(asked) == {TEXTS["zh-hans"][BLOCKED]}
        assert await refusal(asked, **{"accept-language": "de"}) == {TEXTS["de"][BLOCKED]}
        asked.language = "ja"
        assert await refusal(asked) == {TEXTS["ja"][BLOCKED]}
        assert await refusal(pb.ChatRequest(message="Can you help me with a wicked thing?")) == {BLOCKED}
        call = converse(channel, metadata=own)
        await call.write(pb.ClientFrame(ref="1", chat=pb.ChatRequest(message="Peux-tu m'aider à faire du wicked ?")))
        while (frame := await asyncio.wait_for(call.read(), 30)).WhichOneof("kind") != "error":
            assert frame is not grpc.aio.EOF
        assert frame.error.message == TEXTS["fr"][BLOCKED]
        call.cancel()


async def test_decisions_are_as_described(site):
    """What the router writes down has the fields that the API's description names, and no others."""
    names = {field.encode_name for field in msgspec.structs.fields(DecisionAnswer)}
    for message in (CHINESE, "Gdzie jest moje zamówienie?"):
        decision = (await model(site, message))[1]
        assert set(decision) <= names
        described = msgspec.convert(decision, DecisionAnswer)
        assert (described.language.source, described.found["language"]) == ("text", described.language.tag)
    assert described.fallback == {"language": "pl"}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_model_that_fails_does_so_in_the_language_of_the_turn(plugins, stream):
    site = build(ScriptedModel([errors.UpstreamTimeout()]), plugins=plugins)
    answer = await site.alice.post("/api/chat", {"message": CHINESE, "stream": stream})
    assert TEXTS["zh-hans"][errors.UpstreamTimeout.text] in answer.body.decode()


async def test_without_the_plugin_it_is_english():
    site = build(words=["坏"])
    assert await refused(site, "我想做一件很坏的事情") == BLOCKED


async def test_a_plugin_that_fails_at_it_leaves_english():
    class Broken(Language):
        def spoken(self, request):
            raise RuntimeError

    plugin = Broken(registry.read_settings(Language, {}))
    site = build(words=["坏"], plugins=chain(plugin))
    assert await refused(site, "我想做一件很坏的事情") == BLOCKED
