"""`Idempotency-Key` at every edge, in front of the real journal on each kind of database, by two
workers."""

import asyncio
import json
import shutil

import httpx2
import openai
import pytest

from access.idempotency_keys import given
from adapters.scripted import ScriptedAdapter
from compliance.journal import slots
from compliance.journal.idempotency import IdempotencyReader
from compliance.journal.reader import JournalReader
from engine.errors import InvalidRequest, UpstreamError
from engine.snapshots import Cell
from tests.access.parts import build
from tests.access.test_edges import sse
from tests.cast import ALICE, BOB, CHARLIE
from tests.compliance.journals import KEYS, writer_on
from tests.conformance.edges import HI
from tests.engine.parts import MemorySessions, ScriptedModel

CHAT, OPENAI, EMBEDDINGS, RESPONSES = "/api/chat", "/v1/chat/completions", "/v1/embeddings", "/v1/responses"
KEY = {"Idempotency-Key": "order-4711"}


class Workers:
    """Two gateways with a journal's writer each, the same models and the same sessions behind them."""

    def __init__(self, place, model):
        self.place = place
        self.model = model
        self.sessions = MemorySessions()
        self.sites, self._writers, self._readers = [], [], []
        self._journal = JournalReader()

    async def start(self):
        for number in range(2):
            if number and not isinstance(self.place, str):
                shutil.copy(self.place, slots.slot_path(self.place, number))
            writer, reader = writer_on(self.place, f"w{number}"), IdempotencyReader(Cell(KEYS))
            await writer.start()
            site = build(self.model, sessions=self.sessions, journal=writer, once=reader, read_turn=self._journal.turn)
            site.parts.engine.repeats._meter = site.parts.metrics
            self.sites.append(site)
            self._writers.append(writer)
            self._readers.append(reader)

    async def stop(self):
        for site, writer, reader in zip(self.sites, self._writers, self._readers, strict=True):
            await site.parts.engine.drain()
            await writer.stop()
            await asyncio.to_thread(reader.close)
        await asyncio.to_thread(self._journal.close)

    @property
    def calls(self):
        return len(self.model.calls) + len(getattr(self.model, "embed_calls", ()))

    async def post(self, path, body, headers=KEY, worker=0, key=ALICE.key):
        return await self.sites[worker].client(key).post(path, body, headers)


@pytest.fixture
async def workers(place_alias, monkeypatch):
    monkeypatch.delenv("DJANGO_ALLOW_ASYNC_UNSAFE")
    started = []

    async def start(model=None):
        started.append(Workers(place_alias, model or ScriptedModel(["Hel", "lo"])))
        await started[0].start()
        return started[0]

    yield start
    for each in started:
        await each.stop()


EDGES = {CHAT: "rest", OPENAI: "openai", RESPONSES: "responses"}


@pytest.mark.parametrize("path", EDGES)
async def test_a_whole_answer_comes_again_at_any_worker(workers, path):
    both = await workers()
    body = {"messages": HI} if path != RESPONSES else {"input": "Hi", "metadata": {"a": "b"}}
    first = await both.post(path, body)
    assert first.status == 200 and "idempotent-replayed" not in first.headers
    for worker in (0, 1):
        again = await both.post(path, body, worker=worker)
        assert again.status == 200 and again.headers["idempotent-replayed"] == "true"
        assert again.json == first.json
        for name in ("x-clawdbot-decision", "x-clawdbot-model"):
            assert again.headers[name] == first.headers[name]
    assert both.calls == 1 and both.sessions.attempts == (path != OPENAI)
    counted = f'clawdbot_idempotent_replays_total{{edge="{EDGES[path]}",tenant="acme"}} 1.0'
    assert all(counted in site.parts.metrics.text().decode() for site in both.sites)


async def test_a_stream_of_events_comes_again(workers):
    both = await workers()
    body = {"messages": HI, "stream": True}
    first, again = await both.post(CHAT, body), await both.post(CHAT, body, worker=1)
    assert again.headers["idempotent-replayed"] == "true"
    before, after = sse(first.body), sse(again.body)
    assert after[1:] == before[1:] and [event["event"] for event in after] == ["start", "delta", "delta", "done"]
    assert json.loads(after[0]["data"]) == {**json.loads(before[0]["data"]), "replayed": True}
    turn_id = first.headers["x-clawdbot-decision"]
    assert [event["id"] for event in after] == [f"{turn_id}.{number}" for number in range(4)]
    assert both.calls == 1


async def test_a_streamed_response_comes_again(workers):
    both = await workers()
    body = {"input": "And now?", "stream": True, "instructions": "Be kind.", "store": True}
    told, again = await both.post(RESPONSES, body), await both.post(RESPONSES, body, worker=1)
    assert again.headers["idempotent-replayed"] == "true"
    before, after = (json.loads(sse(answer.body)[-1]["data"])["response"] for answer in (told, again))
    assert before == after and before["output"][0]["content"][0]["text"] == "Hello" and both.calls == 1
    other = {**body, "instructions": "Be rude."}
    assert (await both.post(RESPONSES, other)).status == 422


async def test_a_stream_that_is_told_again_is_resumed_as_it_was(workers):
    both = await workers()
    body = {"messages": HI, "stream": True}
    first, again = await both.post(CHAT, body), await both.post(CHAT, body)
    turn_id = first.headers["x-clawdbot-decision"]
    generations = both.sites[0].parts.generations
    assert len(generations) <= 1  # nothing is kept of the repetition
    events = await both.sites[0].alice.get(f"/api/turns/{turn_id}/events")
    assert events.body == first.body != again.body
    rest = await both.sites[0].alice.get(f"/api/turns/{turn_id}/events", {"Last-Event-ID": f"{turn_id}.1"})
    assert rest.body == again.body[-len(rest.body) :] and sse(rest.body) == sse(first.body)[2:]


async def test_a_stream_of_openai_comes_whole(workers):
    both = await workers()
    body = {"messages": HI, "stream": True, "stream_options": {"include_usage": True}}
    first, again = await both.post(OPENAI, body), await both.post(OPENAI, body, worker=1)
    pieces = [[json.loads(event["data"]) for event in sse(each.body)[:-1]] for each in (first, again)]
    said = ["".join(c["delta"].get("content") or "" for p in each for c in p["choices"]) for each in pieces]
    assert said == ["Hello", "Hello"] and [len(each) for each in pieces] == [4, 3]
    assert pieces[0][-1]["usage"] == pieces[1][-1]["usage"] and pieces[0][0]["id"] == pieces[1][0]["id"]
    assert sse(again.body)[-1] == {"data": "[DONE]"} and again.headers["idempotent-replayed"] == "true"


async def test_a_socket_takes_the_key_as_a_field(workers):
    both = await workers()
    told = []
    for site in both.sites:
        async with site.alice.socket(headers={"Idempotency-Key": "of the handshake: no frame's"}) as socket:
            await socket.connect()
            for ref in (1, 2):
                socket.send({"type": "chat", "ref": ref, "message": "Hi", "idempotency_key": "k"})
                told.append(await socket.until("done", "error"))
            socket.send({"type": "chat", "message": "Ho", "idempotency_key": "k"})
            assert (await socket.until("error"))[-1]["code"] == "idempotency_mismatch"
            for wrong in ("", "é", 5, "x" * 256, "a\nb"):
                socket.send({"type": "chat", "message": "Hi", "idempotency_key": wrong})
                refused = (await socket.until("error"))[-1]
                assert refused["code"] == "invalid_request"
    assert both.calls == 1
    assert ["replayed" in frames[0] for frames in told] == [False, True, True, True]
    said = [{name: value for name, value in frames[-1].items() if name not in ("ref", "event_id")} for frames in told]
    assert all(each == said[0] for each in said)
    async with both.sites[0].alice.socket(headers=KEY) as socket:
        await socket.connect()
        for _ in range(2):
            socket.send({"type": "chat", "message": "Hi"})
            await socket.until("done")
    assert both.calls == 3


async def test_vectors_come_again(workers):
    both = await workers(ScriptedAdapter())
    body = {"input": ["one", "two"], "encoding_format": "float"}
    first, again = await both.post(EMBEDDINGS, body), await both.post(EMBEDDINGS, body, worker=1)
    assert first.status == 200 and again.json == first.json and again.headers["idempotent-replayed"] == "true"
    assert (await both.post(EMBEDDINGS, {"input": "one"})).status == 422
    assert (await both.post(EMBEDDINGS, {"input": ["x"] * 129}, {"Idempotency-Key": "many"})).status == 400
    assert both.calls == 1


async def test_official_sdks_send_it_along(workers):
    both = await workers()
    answers = []
    for site in both.sites:
        client = httpx2.AsyncClient(transport=httpx2.ASGITransport(site.app))
        async with openai.AsyncOpenAI(
            api_key=ALICE.key, base_url="http://clawdbot/v1", http_client=client, max_retries=0
        ) as sdk:
            answers.append(await sdk.chat.completions.create(model="auto", messages=HI, extra_headers=KEY))
            stream = await sdk.chat.completions.create(
                model="auto", messages=HI, stream=True, extra_headers={"Idempotency-Key": "streamed"}
            )
            pieces = [chunk.choices[0].delta.content async for chunk in stream if chunk.choices]
            assert "".join(piece or "" for piece in pieces) == "Hello"
            with pytest.raises(openai.UnprocessableEntityError) as other:
                await sdk.chat.completions.create(model="auto", messages=HI, temperature=0.3, extra_headers=KEY)
            assert other.value.code == "idempotency_mismatch"
    assert answers[0] == answers[1] and both.calls == 2


async def test_while_it_runs_any_worker_says_so(workers):
    gate = asyncio.Event()
    both = await workers(ScriptedModel([gate, "Hello"]))
    first = asyncio.ensure_future(both.post(CHAT, {"messages": HI}))
    while not both.calls:
        await asyncio.sleep(0.005)
    for worker in (0, 1):
        busy = await both.post(CHAT, {"messages": HI}, worker=worker)
        assert (busy.status, busy.json["error"]["code"]) == (409, "idempotency_running")
        assert busy.json["error"]["retryable"] and busy.headers["retry-after"] == "1"
        other = await both.post(CHAT, {"message": "Ho"}, worker=worker)
        assert (other.status, other.json["error"]["code"]) == (422, "idempotency_mismatch")
        assert "retry-after" not in other.headers and not other.json["error"]["retryable"]
        edge = await both.post(OPENAI, {"messages": HI}, worker=worker)
        assert (edge.status, edge.json["error"]["code"]) == (422, "idempotency_mismatch")
    gate.set()
    assert (await first).status == 200
    assert (await both.post(CHAT, {"messages": HI}, worker=1)).json == (await first).json
    assert both.calls == 1


async def test_fifty_equal_requests_at_two_workers_make_one_call(workers):
    both = await workers(ScriptedModel([0.05, "Hello"]))
    asked = (both.post(CHAT, {"messages": HI}, worker=number % 2) for number in range(50))
    answers = await asyncio.gather(*asked)
    assert both.calls == 1
    assert {answer.status for answer in answers} <= {200, 409}  # those that came when it was over hear the same
    assert len({answer.body for answer in answers if answer.status == 200}) == 1
    again = await asyncio.gather(*(both.post(CHAT, {"messages": HI}, worker=number % 2) for number in range(50)))
    assert {answer.status for answer in again} == {200} and len({answer.body for answer in again}) == 1
    assert both.calls == 1 and both.sessions.attempts == 1


async def test_charlie_and_bob_see_nothing_by_the_same_key(workers):
    both = await workers()
    mine = await both.post(CHAT, {"messages": HI})
    for number, person in enumerate((BOB, CHARLIE), start=2):
        theirs = await both.post(CHAT, {"messages": HI}, key=person.key, worker=1)
        assert theirs.status == 200 and "idempotent-replayed" not in theirs.headers
        assert theirs.json["id"] != mine.json["id"] and theirs.json["session_id"] != mine.json["session_id"]
        assert both.calls == number
        other = await both.post(CHAT, {"message": "another body"}, key=person.key)
        assert other.status == 422  # of their own first request
    assert (await both.post(CHAT, {"messages": HI})).json == mine.json
    assert (await both.post(CHAT, {"messages": HI}, key="cb_nobody")).status == 401


async def test_an_error_is_not_repeated(workers):
    model = ScriptedModel([UpstreamError()])
    both = await workers(model)
    assert (await both.post(CHAT, {"messages": HI})).status == 502
    model.pieces = ["Hello"]
    answer = await both.post(CHAT, {"message": "another body"}, worker=1)
    assert answer.status == 200 and "idempotent-replayed" not in answer.headers
    assert (await both.post(CHAT, {"message": "another body"})).json == answer.json


async def test_a_turn_shows_no_vectors(workers):
    both = await workers(ScriptedAdapter())
    answer = await both.post(EMBEDDINGS, {"input": "one"})
    found = await both._readers[0].turn(1, answer.headers["x-clawdbot-decision"])
    assert found.completion.vectors

    async def read_turn(tenant_id, turn_id):
        return found

    site = build(read_turn=read_turn)
    shown = await site.alice.get(f"/api/turns/{found.turn_id}")
    assert shown.status == 200 and "vectors" not in shown.json["completion"]


BAD = [b"", b" ", b"x" * 256, b"a\x00b", b"a\x7f", b"a\tb"]


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("path", [CHAT, OPENAI, EMBEDDINGS])
async def test_what_is_no_key_is_refused(path, value):
    body = {"input": "one"} if path == EMBEDDINGS else {"messages": HI}
    site = build(ScriptedAdapter())
    answer = await site.alice.post(path, body, {"Idempotency-Key": value.decode()})
    assert answer.status == 400 and answer.json["error"]["param"] == "Idempotency-Key"
    assert not site.behind.journal.entries


@pytest.mark.parametrize("value", [*BAD, "é".encode(), b"\xff"])
def test_what_is_no_key_is_none(value):
    with pytest.raises(InvalidRequest):
        given([(b"idempotency-key", value)])


def test_it_reads_one_key_only():
    name = b"idempotency-key"
    assert given([]) == given([(b"x", b"y")]) == ""
    assert given([(name, b' "8e03978e-40d5-43dd-bc93-6894a57f9324" ')]) == '"8e03978e-40d5-43dd-bc93-6894a57f9324"'
    assert given([(name, b"x" * 255)]) == "x" * 255 and given([(name, b"a b")]) == "a b"
    with pytest.raises(InvalidRequest):
        given([(name, b"a"), (name, b"a")])
