"""Kept responses: conversations that go on from them, and reading, deleting and cancelling them."""

from __future__ import annotations

import asyncio

import pytest

from access.edges import responses_kept
from tests.access.responding import asked_of, remembering
from tests.cast import ACME, BOB, CHARLIE
from tests.conformance.edges import FRAGMENTS, within
from tests.engine.parts import ScriptedModel

PATH = "/v1/responses"
UNKNOWN = f"resp_{'0' * 32}"


@pytest.fixture
def model():
    return ScriptedModel(["Hello"])


@pytest.fixture
async def site(valkey_url, model):
    async with remembering(valkey_url, model) as site:
        yield site


async def respond(client, given, /, **fields):
    answer = await client.post(PATH, {"input": given, **fields})
    assert answer.status == 200, answer.body
    return answer.json


def said(text):
    return [("user", text), ("assistant", "Hello")]


async def test_a_conversation_goes_on_in_one_session(site, model):
    first = await respond(site.alice, "One")
    second = await respond(site.alice, "Two", previous_response_id=first["id"])
    third = await respond(site.alice, "Three", previous_response_id=second["id"])
    assert asked_of(model) == [*said("One"), *said("Two"), ("user", "Three")]
    assert third["previous_response_id"] == second["id"] and first["previous_response_id"] is None
    assert len({intent.session_id for intent in site.behind.journal.intents}) == 1


async def test_an_older_response_goes_on_in_a_branch(site, model):
    first = await respond(site.alice, "One")
    second = await respond(site.alice, "Two", previous_response_id=first["id"])
    other = await respond(site.alice, "Deux", previous_response_id=first["id"])
    assert asked_of(model) == [*said("One"), ("user", "Deux")]
    await respond(site.alice, "Trois", previous_response_id=other["id"])
    assert asked_of(model) == [*said("One"), *said("Deux"), ("user", "Trois")]
    await respond(site.alice, "Three", previous_response_id=second["id"])
    assert asked_of(model) == [*said("One"), *said("Two"), ("user", "Three")]
    assert len({intent.session_id for intent in site.behind.journal.intents}) == 2


async def test_both_of_two_that_go_on_at_once_have_their_own_conversation(site, model):
    first = await respond(site.alice, "One")
    pair = await asyncio.gather(
        *(respond(site.alice, text, previous_response_id=first["id"]) for text in ("left", "right"))
    )
    assert {asked_of(model, call)[-1] for call in (-1, -2)} == {("user", "left"), ("user", "right")}
    assert all(len(asked_of(model, call)) == 3 for call in (-1, -2))
    for text, answer in zip(("left", "right"), pair, strict=True):
        await respond(site.alice, "more", previous_response_id=answer["id"])
        assert asked_of(model) == [*said("One"), *said(text), ("user", "more")]


async def test_settings_and_summaries_are_no_reason_for_a_branch(site, model):
    first = await respond(site.alice, "One")
    session = site.behind.journal.intents[0].session_id
    assert (await site.alice.request("PATCH", f"/api/sessions/{session}", {"name": "Trip"})).status == 200
    await respond(site.alice, "Two", previous_response_id=first["id"])
    assert {intent.session_id for intent in site.behind.journal.intents} == {session}


async def test_it_goes_on_after_a_restore_from_where_it_was(site, model):
    first = await respond(site.alice, "One")
    second = await respond(site.alice, "Two", previous_response_id=first["id"])
    session = site.behind.journal.intents[0].session_id
    assert (await site.alice.post(f"/api/sessions/{session}/restore", {"version": 1})).status == 200
    await respond(site.alice, "Three", previous_response_id=second["id"])
    assert asked_of(model) == [*said("One"), *said("Two"), ("user", "Three")]


async def test_a_store_that_forgot_everything_changes_nothing(site, model):
    first = await respond(site.alice, "One")
    second = await respond(site.alice, "Two", previous_response_id=first["id"])
    stores = site.parts.sessions.finder.stores
    await stores.tenant(ACME.id).call("FLUSHALL")
    await respond(site.alice, "Deux", previous_response_id=first["id"])
    assert asked_of(model) == [*said("One"), ("user", "Deux")]
    await stores.tenant(ACME.id).call("FLUSHALL")
    await respond(site.alice, "Three", previous_response_id=second["id"])
    assert asked_of(model) == [*said("One"), *said("Two"), ("user", "Three")]


async def test_instructions_are_for_one_response_alone(site, model):
    first = await respond(
        site.alice,
        [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "One"}],
        instructions="Speak French.",
    )
    assert first["instructions"] == "Speak French."
    assert asked_of(model) == [("system", "Speak French."), ("developer", "Be brief."), ("user", "One")]
    second = await respond(site.alice, "Two", previous_response_id=first["id"])
    assert asked_of(model) == [("developer", "Be brief."), *said("One"), ("user", "Two")]
    assert second["instructions"] is None
    await respond(site.alice, "Three", previous_response_id=second["id"], instructions="Speak German.")
    assert asked_of(model)[:2] == [("system", "Speak German."), ("developer", "Be brief.")]
    assert not any(message.passing for message in model.calls[-1].messages)
    session = (await site.alice.get(f"/api/sessions/{site.behind.journal.intents[0].session_id}")).json
    assert "Speak" not in str(session) and "Be brief." in str(session)


async def test_what_is_not_stored_is_not_there(site, model):
    first = await respond(site.alice, "One", store=False)
    assert first["store"] is False and site.behind.journal.intents[0].session_id is None
    assert (await site.alice.get(f"{PATH}/{first['id']}")).status == 404
    answer = await site.alice.post(PATH, {"input": "Two", "previous_response_id": first["id"]})
    check_missing(answer, first["id"])


async def test_it_goes_on_without_being_stored(site, model):
    first = await respond(site.alice, "One", instructions="A")
    second = await respond(site.alice, "Two", previous_response_id=first["id"], store=False, instructions="B")
    assert asked_of(model) == [("system", "B"), *said("One"), ("user", "Two")]
    assert second["previous_response_id"] == first["id"]
    await respond(site.alice, "Three", previous_response_id=first["id"])
    assert asked_of(model) == [*said("One"), ("user", "Three")]
    assert len({i.session_id for i in site.behind.journal.intents}) == 2  # one of them is none


def check_missing(answer, response_id):
    error = answer.json["error"]
    assert (answer.status, error["code"], error["param"]) == (
        400,
        "previous_response_not_found",
        "previous_response_id",
    )
    assert error["message"] == f"Previous response with id '{response_id}' not found."
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("who", [BOB.key, CHARLIE.key])
@pytest.mark.parametrize("store", [True, False])
async def test_nobody_else_can_go_on_from_a_response(site, model, who, store):
    first = await respond(site.alice, "A secret.")
    calls = len(model.calls)
    for response_id in (first["id"], UNKNOWN, "resp_1", "chatcmpl-1", "x" * 500):
        answer = await site.client(who).post(PATH, {"input": "Hi", "previous_response_id": response_id, "store": store})
        check_missing(answer, response_id[:100])
    reference = {"type": "item_reference", "id": first["output"][0]["id"]}
    assert (await site.client(who).post(PATH, {"input": [reference]})).status == 400
    assert len(model.calls) == calls


@pytest.mark.parametrize("who", [BOB.key, CHARLIE.key])
async def test_others_responses_do_not_exist(site, who):
    first = await respond(site.alice, "A secret.")
    for method, below in (("GET", ""), ("DELETE", ""), ("GET", "/input_items"), ("POST", "/cancel")):
        answers = [
            await site.client(who).request(method, f"{PATH}/{one}{below}") for one in (first["id"], UNKNOWN, "resp_1")
        ]
        assert {(answer.status, answer.json["error"]["code"]) for answer in answers} == {(404, "not_found")}
        assert "secret" not in str([answer.body for answer in answers])
    assert (await site.alice.get(f"{PATH}/{first['id']}")).status == 200


async def test_a_keys_users_do_not_see_each_others_and_the_key_sees_all(site, model):
    first = await respond(site.alice, "One", user="u-1")
    answer = await site.alice.post(PATH, {"input": "Two", "user": "u-2", "previous_response_id": first["id"]})
    check_missing(answer, first["id"])
    await respond(site.alice, "Two", user="u-1", previous_response_id=first["id"])
    assert asked_of(model) == [*said("One"), ("user", "Two")]
    assert (await site.alice.get(f"{PATH}/{first['id']}")).status == 200


async def test_a_response_is_read_back_as_it_was_given(valkey_url):
    model = ScriptedModel(["Hel", "lo"])
    async with remembering(valkey_url, model) as site:
        given = {
            "instructions": "Be kind.", "metadata": {"a": "1"}, "temperature": 0.3, "max_output_tokens": 50,
            "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}], "tool_choice": "auto",
            "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}, "verbosity": "low"},
            "reasoning": {"effort": "low", "summary": "auto"}, "user": "u-1", "truncation": "auto",
        }  # fmt: skip
        first = await respond(site.alice, "One", **given)
        read = await site.alice.get(f"{PATH}/{first['id']}")
        assert read.json == first and first["completed_at"] >= first["created_at"]
        assert read.json["instructions"] == "Be kind." and read.json["text"]["format"]["name"] == "n"
        streamed = await site.alice.get(f"{PATH}/{first['id']}?stream=true")
        assert (streamed.status, streamed.json["error"]["param"]) == (400, "stream")


async def test_a_deleted_response_is_gone_and_what_follows_it_stays(site, model):
    first = await respond(site.alice, "One")
    second = await respond(site.alice, "Two", previous_response_id=first["id"])
    gone = await site.alice.request("DELETE", f"{PATH}/{first['id']}")
    assert gone.json == {"id": first["id"], "object": "response", "deleted": True}
    for method in ("GET", "DELETE"):
        assert (await site.alice.request(method, f"{PATH}/{first['id']}")).status == 404
    for store in (True, False):
        body = {"input": "Hi", "previous_response_id": first["id"], "store": store}
        check_missing(await site.alice.post(PATH, body), first["id"])
    await respond(site.alice, "Three", previous_response_id=second["id"])
    assert asked_of(model) == [*said("One"), *said("Two"), ("user", "Three")]


async def test_the_last_response_can_be_deleted_too(site, model):
    first = await respond(site.alice, "One")
    assert (await site.alice.request("DELETE", f"{PATH}/{first['id']}")).status == 200
    check_missing(await site.alice.post(PATH, {"input": "Hi", "previous_response_id": first["id"]}), first["id"])
    assert len(model.calls) == 1


async def test_a_deleted_session_takes_its_responses_along(site):
    first = await respond(site.alice, "One")
    session = site.behind.journal.intents[0].session_id
    assert (await site.alice.request("DELETE", f"/api/sessions/{session}")).status == 204
    assert (await site.alice.get(f"{PATH}/{first['id']}")).status == 404
    check_missing(await site.alice.post(PATH, {"input": "Hi", "previous_response_id": first["id"]}), first["id"])


async def test_it_lists_what_a_response_answers(site):
    first = await respond(site.alice, "One", instructions="Not among them.")
    second = await respond(site.alice, "Two", previous_response_id=first["id"])
    path = f"{PATH}/{second['id']}/input_items"
    newest = (await site.alice.get(path)).json
    assert newest["object"] == "list" and not newest["has_more"]
    assert [item["content"][0]["text"] for item in newest["data"]] == ["Two", "Hello", "One"]
    page = (await site.alice.get(f"{path}?order=asc&limit=2")).json
    assert [item["role"] for item in page["data"]] == ["user", "assistant"] and page["has_more"]
    rest = (await site.alice.get(f"{path}?order=asc&after={page['last_id']}")).json
    assert [item["id"] for item in rest["data"]] == [newest["first_id"]] and not rest["has_more"]
    for query in ("limit=0", "limit=101", "limit=x", "order=up", "after=x"):
        assert (await site.alice.get(f"{path}?{query}")).status == 400


async def test_it_cancels_what_is_running(valkey_url):
    gate = asyncio.Event()
    model = ScriptedModel(["Hel", gate, "lo"])
    async with remembering(valkey_url, model) as site:
        exchange = site.alice.begin("POST", PATH, {"input": "Hi", "stream": True})
        await within(5, lambda: site.behind.journal.intents and len(site.parts.running))
        response_id = f"resp_{site.behind.journal.intents[0].turn_id}"
        running = (await site.alice.get(f"{PATH}/{response_id}")).json
        assert (running["status"], running["output"]) == ("in_progress", [])
        stopped = await site.alice.post(f"{PATH}/{response_id}/cancel")
        assert (stopped.status, stopped.json["status"]) == (200, "cancelled")
        answer = await exchange.rest()
        assert b"event: response.failed" in answer.body and model.closed == 1
        await within(5, lambda: site.behind.journal.states == ["cancelled"])
        read = (await site.alice.get(f"{PATH}/{response_id}")).json
        assert (read["status"], read["output"][0]["content"][0]["text"]) == ("cancelled", "Hel")
        again = await site.alice.post(f"{PATH}/{response_id}/cancel")
        assert (again.status, again.json["error"]["param"]) == (400, "response_id")
        body = {"input": "Hi", "previous_response_id": response_id}
        check_missing(await site.alice.post(PATH, body), response_id)
        assert (await site.alice.request("DELETE", f"{PATH}/{response_id}")).status == 404


async def test_it_goes_on_from_a_response_that_is_still_running(valkey_url):
    gate = asyncio.Event()
    model = ScriptedModel(["Hel", gate, "lo"])
    async with remembering(valkey_url, model) as site:
        running = site.alice.begin("POST", PATH, {"input": "One"})
        await within(5, lambda: model.calls and site.behind.journal.intents)
        response_id = f"resp_{site.behind.journal.intents[0].turn_id}"
        following = site.alice.begin("POST", PATH, {"input": "Two", "previous_response_id": response_id})
        gate.set()
        assert (await running.rest()).json["id"] == response_id
        assert (await following.rest()).json["previous_response_id"] == response_id
        assert asked_of(model) == [*said("One"), ("user", "Two")]


async def test_items_are_referred_to(valkey_url):
    model = ScriptedModel(FRAGMENTS, finish="tool_calls")
    async with remembering(valkey_url, model) as site:
        first = await respond(site.alice, "Weather?")
        call = first["output"][0]
        reference = {"type": "item_reference", "id": call["id"]}
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": "rain"}
        await respond(site.alice, [{"role": "user", "content": "Weather?"}, reference, output], store=False)
        user, asked, result = model.calls[-1].messages
        assert user.content == "Weather?" and asked.tool_calls[0]["function"]["name"] == "weather"
        assert (result.role, result.content, result.tool_call_id) == ("tool", "rain", "c1")


async def test_it_reads_only_so_many_responses_for_one_request(site, model, monkeypatch):
    monkeypatch.setattr(responses_kept, "MOST_REFERRED", 1)
    ids = [(await respond(site.alice, text))["output"][0]["id"] for text in ("One", "Two")]
    question = {"role": "user", "content": "Hi"}
    await respond(site.alice, [{"id": ids[0]}, {"id": ids[0]}, question], store=False)
    assert asked_of(model) == [("assistant", "Hello"), ("assistant", "Hello"), ("user", "Hi")]
    answer = await site.alice.post(PATH, {"input": [*({"id": each} for each in ids), question]})
    assert (answer.status, answer.json["error"]["param"]) == (400, "input[1].id")


async def test_a_conversation_is_a_session_that_is_there(site, model):
    unknown = await site.alice.post(PATH, {"input": "Hi", "conversation": "trip"})
    assert (unknown.status, unknown.json["error"]["code"]) == (404, "session_not_found")
    assert (await site.alice.post(PATH, {"input": "One"}, {"X-Session-Id": "trip"})).status == 200
    answer = await respond(site.alice, "Two", conversation={"id": "trip"})
    assert answer["conversation"] == {"id": "trip"}
    assert asked_of(model) == [*said("One"), ("user", "Two")]


async def test_it_counts_tokens(site, model):
    alone = (await site.alice.post(f"{PATH}/input_tokens", {"model": "gpt-4o", "input": "Hello, world!"})).json
    assert alone == {"object": "response.input_tokens", "input_tokens": 11}
    first = await respond(site.alice, "One")
    body = {"model": "gpt-4o", "input": "Hello, world!", "previous_response_id": first["id"]}
    longer = (await site.alice.post(f"{PATH}/input_tokens", body)).json
    assert longer["input_tokens"] > alone["input_tokens"] and len(model.calls) == 1
