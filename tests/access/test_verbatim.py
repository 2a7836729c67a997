"""What of an answer goes to a caller of `/v1/chat/completions` as it came, and what does not, over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters import registry
from adapters.base import AdapterConfig
from engine.entries import Completion
from engine.http1 import DirectClient
from engine.types import CachePolicy, Usage
from tests.access.parts import Site, build
from tests.adapters import upstream as wire
from tests.adapters.upstream import Upstream
from tests.conformance.edges import HI
from tests.engine.parts import Run

PATH = "/v1/chat/completions"
KEY = "sk-upstream-key"
DEPLOYMENT = "prod-eu/gpt-internal"
HEAD = b'"id":"chatcmpl-up","object":"chat.completion.chunk","created":17,"model":"%s",' % DEPLOYMENT.encode()
TIER = b'"service_tier":"default",'
ROLE = TIER + b'"choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}]'
TEXTS = [
    TIER + b'"choices":[{"index":0,"delta":{"content":"%b"},"logprobs":null,"finish_reason":null}]' % text
    for text in (b"Gr\xc3\xbc\xc3\x9fe ", b"\\u5317\\u4eac \\/ \\n", b"data: [DONE]\\n\\n", b'\\"}')
]
LOGPROBS = b'{"content":[{"token":"!","logprob":-1.0e-05}]}'
SCORED = b'"choices":[{"delta":{"content":"!"},"index":0,"finish_reason":null,"logprobs":%b}],"x":1e2' % LOGPROBS
THOUGHT = b'"choices":[{"index":0,"delta":{"reasoning_content":"hm","signature":null},"finish_reason":null}]'
FINISH = TIER + b'"choices":[{"index":0,"delta":{},"finish_reason":"stop","matched_stop":2}],"citations":["a"]'
EVENTS = [ROLE, THOUGHT, *TEXTS, SCORED, FINISH]
USAGE = HEAD + b'"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9,"cost":0.1}'
SAID = 'Grüße 北京 / \ndata: [DONE]\n\n"}!'
WHOLE = (
    b'{ "id": "up-1", "model": "%s", "created": 17,\n "object": "chat.completion",\n'
    b' "choices": [ {"index": 0, "message": {"role": "assistant", "content": "Hi \\u5317\\u4eac", "annotations": []},\n'
    b'   "finish_reason": "stop", "seed": 1.50e+2 } ], "citations": ["https:\\/\\/a.example"],\n'
    b' "usage": {"prompt_tokens": 7, "completion_tokens": 2, "cost": 0.1}, "system_fingerprint": "fp 1" }'
) % DEPLOYMENT.encode()
KEPT = (
    b'"choices":[ {"index": 0, "message": {"role": "assistant", "content": "Hi \\u5317\\u4eac", "annotations": []},\n'
    b'   "finish_reason": "stop", "seed": 1.50e+2 } ],"citations":["https:\\/\\/a.example"],"system_fingerprint":"fp 1"'
)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as server:
        yield server


@pytest.fixture
async def site_of(upstream: Upstream) -> AsyncIterator[Any]:
    """A gateway before the upstream, which knows its model by another name than callers do."""
    http = DirectClient(private=True)

    def made(options: dict[str, Any] | None = None, shown: str = DEPLOYMENT, **parts: Any) -> Site:
        options = {"verbatim": True} if options is None else options
        config = AdapterConfig(endpoint=upstream.url, api_key=KEY, options=options)
        site = build(registry.build("openai_compatible", config, http), **parts)
        choose = site.behind.router.choose

        def chosen(*args: Any) -> Any:
            route = choose(*args)
            route.upstream_model = shown
            return route

        site.behind.router.choose = chosen
        return site

    yield made
    await http.close()


def sent(*events: bytes, head: bytes = HEAD) -> bytes:
    return b"".join(b"data: {%b%b}\n\n" % (head, event) for event in events)


def stream_of(*events: bytes, end: bytes = b"data: [DONE]\n\n") -> list[Any]:
    return [wire.head_of_stream() + sent(*events) + end]


async def streamed(site: Site, **asked: Any) -> tuple[list[bytes], Any]:
    """The events' bytes without what the gateway says itself, which is checked; and the completion on record."""
    answer = await site.alice.post(PATH, {"messages": HI, "stream": True, **asked})
    assert answer.status == 200
    *events, done, rest = answer.body.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    (completion,) = [entry for entry in site.behind.journal.entries if type(entry) is Completion]
    found = []
    for event in events:
        assert event.startswith(b"data: {") and b"\n" not in event
        body = json.loads(event[6:])
        assert body["id"] == f"chatcmpl-{completion.turn_id}"
        assert (body["object"], body["model"]) == ("chat.completion.chunk", "scripted")
        assert list(body)[:4] == ["id", "object", "created", "model"]
        head = json.dumps({name: body[name] for name in list(body)[:4]}, separators=(",", ":")).encode()
        assert event.startswith(b"data: " + head[:-1] + b",")
        found.append(event[len(b"data: " + head) : -1])
    return found, completion


def on_record(completion: Any, text: str = SAID) -> None:
    assert completion.choices[0].message.content == text
    assert completion.usage == Usage(prompt_tokens=7, completion_tokens=2)
    assert (completion.state, completion.choices[0].finish_reason) == ("completed", "stop")


@pytest.mark.parametrize("apart", [False, True], ids=["at once", "one by one"])
async def test_a_stream_goes_through_as_it_came(site_of: Any, upstream: Upstream, apart: bool) -> None:
    events = [*(sent(event) for event in EVENTS), b"data: {%b}\n\n" % USAGE, b"data: [DONE]\n\n"]
    upstream.answers(wire.streamed(events, pause=0.01 if apart else 0))
    site = site_of()
    found, completion = await streamed(site)
    assert found == EVENTS
    on_record(completion)
    assert completion.choices[0].message.reasoning_content == "hm"
    assert [entry["logprob"] for entry in completion.choices[0].logprobs["content"]] == [-1e-5]


async def test_bytes_go_through_however_the_stream_is_cut(site_of: Any, upstream: Upstream) -> None:
    whole = sent(*EVENTS).replace(b"\n\n", b"\r\n\r\n") + b"data: {%b}\n\ndata: [DONE]\n\n" % USAGE
    for size in (1, 7, 150):
        upstream.answers(wire.streamed([whole[at : at + size] for at in range(0, len(whole), size)]))
        found, completion = await streamed(site_of())
        assert found == EVENTS
        on_record(completion)


async def test_usage_is_the_gateways_and_comes_where_it_is_asked_for(site_of: Any, upstream: Upstream) -> None:
    with_null = [event + b',"usage":null,"obfuscation":"aB%d"' % number for number, event in enumerate(EVENTS)]
    upstream.answers(stream_of(*with_null, USAGE.removeprefix(HEAD)))
    found, _ = await streamed(site_of(), stream_options={"include_usage": True})
    padded = [event + b',"obfuscation":"aB%d","usage":null' % number for number, event in enumerate(EVENTS)]
    assert found[:-1] == padded
    usage = json.loads(b"{" + found[-1] + b"}")
    assert usage["choices"] == [] and usage["usage"]["total_tokens"] == 9 and "cost" not in usage["usage"]
    upstream.answers(stream_of(*with_null, USAGE.removeprefix(HEAD)))
    found, _ = await streamed(site_of())
    assert found == [event.removesuffix(b',"usage":null') for event in padded]


async def test_an_answer_in_one_piece_goes_through_as_it_came(site_of: Any, upstream: Upstream) -> None:
    upstream.answers(wire.answer(200, WHOLE))
    site = site_of()
    answer = await site.alice.post(PATH, {"messages": HI})
    (completion,) = [entry for entry in site.behind.journal.entries if type(entry) is Completion]
    assert KEPT in answer.body and answer.json["usage"]["total_tokens"] == 9 and "cost" not in answer.json["usage"]
    assert (answer.json["id"], answer.json["model"]) == (f"chatcmpl-{completion.turn_id}", "scripted")
    assert list(answer.json) == [
        *("id", "object", "created", "model", "choices", "citations", "system_fingerprint", "usage"),
    ]
    assert DEPLOYMENT.encode() not in answer.body
    on_record(completion, "Hi 北京")


async def test_what_plugins_have_to_say_stands_beside_it(site_of: Any, upstream: Upstream) -> None:
    run = Run(metadata={"p": {"score": 1}})
    upstream.answers(wire.answer(200, WHOLE), stream_of(*EVENTS))
    site = site_of(run=run)
    answer = await site.alice.post(PATH, {"messages": HI})
    assert KEPT in answer.body and answer.json["clawdbot"] == {"plugins": {"p": {"score": 1}}}
    answer = await site.alice.post(PATH, {"messages": HI, "stream": True})
    end = answer.body.split(b"\n\n")[-3]
    assert FINISH in end and json.loads(end[6:])["clawdbot"] == {"plugins": {"p": {"score": 1}}}


# What keeps it from going through -------------------------------------------------------------------------------------


async def encoded(site: Site, upstream: Upstream, **asked: Any) -> None:
    """Both kinds of answers are the gateway's own, with the same text, whatever else the service said."""
    upstream.answers(wire.answer(200, WHOLE), stream_of(*EVENTS), choose=wire.by_stream)
    headers = asked.pop("headers", {})
    answer = await site.alice.request("POST", PATH, {"messages": HI, **asked}, headers)
    assert answer.status == 200 and "citations" not in answer.json, answer.body
    assert answer.json["choices"][0]["message"] == {"role": "assistant", "content": "Hi 北京", "refusal": None}
    site.behind.journal.entries.clear()
    answer = await site.alice.request("POST", PATH, {"messages": HI, "stream": True, **asked}, headers)
    assert b"service_tier" not in answer.body and b"matched_stop" not in answer.body
    chunks = [json.loads(event[6:]) for event in answer.body.split(b"\n\n")[:-2]]
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks) == SAID
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks].count("stop") == 1


async def test_words_keep_all_of_it(site_of: Any, upstream: Upstream) -> None:
    await encoded(site_of(words=["citadel"]), upstream)


async def test_plugins_that_see_the_answer_keep_it(site_of: Any, upstream: Upstream) -> None:
    await encoded(site_of(run=Run(sees_deltas=True)), upstream)


@pytest.mark.parametrize("options", [{}, {"verbatim": False}])
async def test_instances_that_do_not_say_so_keep_it(site_of: Any, upstream: Upstream, options: dict[str, Any]) -> None:
    await encoded(site_of(options), upstream)


async def test_whoever_may_ask_again_gets_the_same(site_of: Any, upstream: Upstream) -> None:
    site = site_of()
    upstream.answers(wire.answer(200, WHOLE), stream_of(*EVENTS), choose=wire.by_stream)
    whole = await site.alice.request("POST", PATH, {"messages": HI}, {"Idempotency-Key": "one"})
    assert whole.status == 200 and "citations" not in whole.json
    pieces = await site.alice.request("POST", PATH, {"messages": HI, "stream": True}, {"Idempotency-Key": "two"})
    assert pieces.status == 200 and b"service_tier" not in pieces.body
    assert "citations" in (await site.alice.post(PATH, {"messages": HI})).json


async def test_kept_answers_are_for_all_alike(site_of: Any, upstream: Upstream) -> None:
    for policy in CachePolicy(ttl=60, sampled=True), CachePolicy(coalesce=True, sampled=True):
        site = site_of()
        site.behind.answers.chosen = policy
        upstream.answers(stream_of(*EVENTS))
        for _ in range(2):
            answer = await site.alice.post(PATH, {"messages": HI, "stream": True})
            assert b"service_tier" not in answer.body and b"matched_stop" not in answer.body


async def test_the_older_form_of_tools_is_answered_in_it(site_of: Any, upstream: Upstream) -> None:
    await encoded(site_of(), upstream, functions=[{"name": "f", "parameters": {}}])


async def test_events_apart_are_made_here(site_of: Any, upstream: Upstream) -> None:
    upstream.answers(stream_of(*EVENTS))
    answer = await site_of().alice.request(
        "POST", PATH, {"messages": HI, "stream": True}, {"X-Stream-Interval-Ms": "50"}
    )
    assert b"service_tier" not in answer.body and b"matched_stop" not in answer.body


@pytest.mark.parametrize("path", ["/api/chat", "/v1/responses"])
async def test_other_formats_are_given_nothing_of_it(site_of: Any, upstream: Upstream, path: str) -> None:
    upstream.answers(stream_of(*EVENTS))
    body = {"input": "Hi", "stream": True, "store": False} if "responses" in path else {"messages": HI, "stream": True}
    answer = await site_of().alice.post(path, body)
    assert answer.status == 200 and b"matched_stop" not in answer.body and b"citations" not in answer.body


# Services that mean no good -------------------------------------------------------------------------------------------

TEXT = TEXTS[0]
HOSTILE = {
    "a member twice": TEXT + b',"service_tier":"other"',
    "choices twice": TEXT + b',"choices":[{"index":0,"delta":{"content":"Gr\xc3\xbc\xc3\x9fe "},"tag":"t"}]',
    "a text twice": TEXT.replace(b'"content"', b'"content":"smuggled","content"'),
    "a text twice, spelled otherwise": TEXT.replace(b'"content"', b'"cont\\u0065nt":"smuggled","content"'),
    "bytes that are no text": TEXT.replace(b"default", b"def\xff"),
    "our own name for it inside": TEXT + b',"deployment":"%b"' % DEPLOYMENT.encode(),
    "the same in other letters": TEXT + b',"deployment":"prod-eu\\/gpt-inte\\u0072nal"',
    "as a member": TEXT + b',"%b":1' % DEPLOYMENT.encode(),
    "the key": TEXT + b',"debug":{"authorization":"Bearer %b"}' % KEY.encode(),
    "usage in a choice": TEXT.replace(b'"index":0', b'"usage":{"cost":1},"index":0'),
    "content in parts": TEXT.replace(b'"Gr\xc3\xbc\xc3\x9fe "', b'[{"type":"text","text":"Gr\xc3\xbc\xc3\x9fe "}]'),
    "a reason of its own": TEXT.replace(b'"finish_reason":null', b'"finish_reason":"sensitive"'),
    "a role of another": TEXT.replace(b'"content"', b'"role":"system","content"'),
    "no index": TEXT.replace(b'"index":0,', b""),
    "an end in its text": TEXT.replace(b'"finish_reason":null', b'"finish_reason":"stop"'),
    "lines": TEXT.replace(b",", b",\ndata: "),
}


@pytest.mark.parametrize("event", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("first", [b"", sent(ROLE, TEXT)], ids=["first", "after a good one"])
async def test_what_is_not_fit_is_made_anew(site_of: Any, upstream: Upstream, event: bytes, first: bytes) -> None:
    upstream.answers(
        wire.streamed([first, sent(event), sent(FINISH), b"data: {%b}\n\ndata: [DONE]\n\n" % USAGE][not first :], 0.02)
    )
    site = site_of()
    answer = await site.alice.post(PATH, {"messages": HI, "stream": True})
    said = "Grüße " * (2 if first else 1)
    for name in (b"smuggled", b"\xff", b"gpt-inte", DEPLOYMENT.encode(), KEY.encode(), b'"cost"', b'"other"', b'"tag"'):
        assert name not in answer.body
    *events, done, rest = answer.body.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"") and all(event.count(b"\n") == 0 for event in events)
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in events]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert "".join(choice["delta"].get("content") or "" for choice in choices) == said
    assert [choice["delta"]["role"] for choice in choices if choice["delta"].get("role")] == ["assistant"]
    assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] in (["stop"], ["content_filter"])
    assert choices[-1]["finish_reason"]
    (completion,) = [entry for entry in site.behind.journal.entries if type(entry) is Completion]
    assert completion.choices[0].message.content == said


@pytest.mark.parametrize(
    "event",
    [b'"x":NaN,' + TEXT, b'"x":"\x01",' + TEXT, b'"x":"\\ud800",' + TEXT, b'"x":01,' + TEXT, TEXT + b"}{"],
    ids=["NaN", "a control character", "half a character", "a number", "two values"],
)
async def test_what_is_no_json_ends_the_stream(site_of: Any, upstream: Upstream, event: bytes) -> None:
    upstream.answers(wire.streamed([sent(ROLE, TEXT), sent(event), sent(FINISH)], 0.02))
    answer = await site_of().alice.post(PATH, {"messages": HI, "stream": True})
    *events, rest = answer.body.split(b"\n\n")
    assert json.loads(events[-1][6:])["error"]["code"] == "upstream_error" and b"[DONE]" not in answer.body
    assert [TEXT in event for event in events] == [False, True, False]


async def test_names_and_ids_of_events_and_comments_stay_here(site_of: Any, upstream: Upstream) -> None:
    noise = b": " + KEY.encode() + b"\nevent: message\nid: 1\nretry: 5\n"
    upstream.answers([wire.head_of_stream() + b"".join(noise + sent(event) for event in EVENTS) + b"data: [DONE]\n\n"])
    site = site_of()
    found, _ = await streamed(site)
    assert found == EVENTS


async def test_a_model_may_speak_of_itself(site_of: Any, upstream: Upstream) -> None:
    """In its text the name it has upstream was never hidden; beside it, it is."""
    named = TEXT.replace(b"Gr\xc3\xbc\xc3\x9fe ", DEPLOYMENT.encode())
    upstream.answers(stream_of(ROLE, named, FINISH))
    found, _ = await streamed(site_of())
    assert found == [ROLE, named, FINISH]


async def test_an_end_does_not_leave_before_the_record(site_of: Any, upstream: Upstream) -> None:
    """The journal fails: the caller has the text, and no end of it."""
    upstream.answers(wire.streamed([sent(ROLE, TEXT), sent(FINISH), b"data: [DONE]\n\n"], 0.05))
    site = site_of()
    journal = site.behind.journal
    complete = journal.completion

    def broken(entry: Any) -> Any:
        journal.broken = True
        return complete(entry)

    journal.completion = broken
    answer = await site.alice.post(PATH, {"messages": HI, "stream": True})
    assert TEXT in answer.body and b"matched_stop" not in answer.body and b'"stop"' not in answer.body
    assert b"[DONE]" not in answer.body


async def test_choices_go_through_beside_each_other(site_of: Any, upstream: Upstream) -> None:
    one, two = ROLE.replace(b'"index":0', b'"index":1'), TEXT.replace(b'"index":0', b'"index":1')
    ends = [FINISH, FINISH.replace(b'"index":0', b'"index":1')]
    upstream.answers(stream_of(ROLE, TEXT, ends[0], one, two, ends[1]))
    found, completion = await streamed(site_of(), n=2)
    assert found == [ROLE, TEXT, one, two, *ends]
    assert [choice.message.content for choice in completion.choices] == ["Grüße ", "Grüße "]


async def test_calls_of_tools_go_through(site_of: Any, upstream: Upstream) -> None:
    begun = (
        b'"choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"c","type":'
        b'"function","extra":{},"function":{"name":"f","arguments":""}}]},"finish_reason":null}]'
    )
    more = [
        b'"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"%b"}}]},"finish_reason":null}]'
        % piece
        for piece in (b'{\\"a\\"', b": 1}")
    ]
    end = b'"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]'
    upstream.answers(stream_of(begun, *more, end))
    found, completion = await streamed(site_of())
    assert found == [begun, *more, end]
    assert completion.choices[0].message.tool_calls[0]["function"] == {"name": "f", "arguments": '{"a": 1}'}


async def test_a_whole_answer_to_a_stream_is_made_one(site_of: Any, upstream: Upstream) -> None:
    upstream.answers(wire.answer(200, WHOLE))
    found, completion = await streamed(site_of())
    assert b"citations" not in b"".join(found) and completion.choices[0].message.content == "Hi 北京"
