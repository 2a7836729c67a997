"""The Messages edge against the suite of all edges."""

from __future__ import annotations

from typing import Any

import pytest

from engine.types import Message
from tests.access import messages
from tests.access.asgi_client import Answer, Client
from tests.access.messages import PATH, blocks_of, body, events_of
from tests.access.parts import Site, build
from tests.conformance.badinput import TOO_LARGE_FOR_CHAT
from tests.conformance.badmessages import CORPUS
from tests.conformance.edges import TOOL_CALL, EdgeSuite, Outcome, within
from tests.engine.parts import ScriptedModel

DUPLICATES = (
    b'{"max_tokens":9,"messages":[{"role":"user","content":"first"}],"messages":[{"role":"user","content":"last"}]}'
)
FUNCTION = {"name": "weather", "arguments": '{"city":"Paris"}'}


class TestMessages(EdgeSuite):
    too_large = TOO_LARGE_FOR_CHAT
    stream = False
    creates_sessions = True

    async def ask(self, client: Client, body: dict[str, Any] | bytes, session_id: str | None = None) -> Outcome:
        headers = {"X-Session-Id": "memory-1" if session_id == "new" else session_id} if session_id else None
        if not isinstance(body, bytes):
            body = {**messages.translated(body), **({"stream": True} if self.stream else {})}
        elif b'"first"' in body:
            body = DUPLICATES
        answer = await client.post(PATH, body, headers)
        assert answer.headers["request-id"] == answer.headers["x-request-id"]
        if answer.status != 200:
            return refused(answer)
        outcome = self.read(answer)
        assert outcome.turn_id in (None, answer.headers["x-clawdbot-decision"])
        outcome.session_id = headers["X-Session-Id"] if headers else None
        return outcome

    def read(self, answer: Answer) -> Outcome:
        said = answer.json
        assert (said["type"], said["role"], said["stop_sequence"]) == ("message", "assistant", None)
        return messages.outcome(said)

    async def leave_early(self, site: Site) -> None:
        exchange = site.alice.begin("POST", PATH, body(stream=self.stream))
        await within(1, lambda: site.behind.models[0].calls)
        exchange.leave()
        await exchange.task

    async def test_it_passes_known_parameters_and_nothing_else(self) -> None:
        model = ScriptedModel()
        outcome = await self.chat(
            build(model), temperature=0.5, max_tokens=7, top_p=0.9, top_k=3, stop=["x"], invented={"a": 1}
        )
        assert outcome.text == "Hello"
        request = model.calls[0].request
        assert (request.temperature, request.max_tokens) == (0.5, 7)
        assert request.params == {"top_p": 0.9, "top_k": 3, "stop": ["x"]}

    async def test_it_takes_tool_results_in(self) -> None:
        model = ScriptedModel()
        call = {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Paris"}}
        result = {"type": "tool_result", "tool_use_id": "c1", "content": "rain"}
        hi = {"role": "user", "content": "Hi"}
        said = [hi, {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
        outcome = await self.ask(build(model).alice, {"messages": said})
        assert outcome.text == "Hello"
        sent = model.calls[0].messages
        assert sent[1] == Message("assistant", tool_calls=[{**TOOL_CALL, "function": FUNCTION}])
        assert sent[2] == Message("tool", "rain", tool_call_id="c1")

    @pytest.mark.parametrize(("raw", "param"), CORPUS)
    async def test_it_refuses_bad_input(self, raw: bytes, param: str | None) -> None:  # type: ignore[override]
        model = ScriptedModel()
        site = build(model)
        outcome = await self.ask(site.alice, raw)
        assert outcome.code in ("invalid_request", "not_supported", "payload_too_large")
        assert outcome.status in (400, 413) and (param is None or outcome.param == param)
        assert not model.calls and not site.behind.journal.entries
        assert (await self.chat(site)).text == "Hello"

    async def test_it_refuses_what_is_too_large(self) -> None:
        answer = await build().alice.post(PATH, TOO_LARGE_FOR_CHAT)
        assert answer.status == 413 and answer.json["error"]["type"] == "request_too_large"


class TestMessagesStream(TestMessages):
    stream = True
    streams = partial = True

    def read(self, answer: Answer) -> Outcome:
        if answer.headers["content-type"] == "application/json":
            return super().read(answer)
        events = events_of(answer.body)
        begun = events[0]["message"]
        assert begun["content"] == [] and begun["stop_reason"] is None
        pieces = [event["delta"]["text"] for event in events if event.get("delta", {}).get("type") == "text_delta"]
        if events[-1]["type"] == "error":
            return Outcome(status=200, code=events[-1]["error"]["code"], pieces=pieces)
        last = events[-2]
        outcome = messages.outcome({**begun, **last["delta"], "content": blocks_of(events), "usage": last["usage"]})
        outcome.pieces = pieces
        return outcome


def refused(answer: Answer) -> Outcome:
    said = answer.json
    assert (said["type"], said["request_id"]) == ("error", answer.headers["request-id"])
    error = said["error"]
    assert {"type", "message", "code", "retryable"} <= set(error) and isinstance(error["message"], str)
    return Outcome(
        status=answer.status,
        code=error["code"],
        param=error.get("param"),
        retry_after=answer.headers.get("retry-after"),
    )
