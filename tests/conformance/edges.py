"""What every access protocol owes its callers. An edge's test inherits `EdgeSuite` and says how to ask."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from engine.errors import EngineError, RateLimited, UpstreamBusy, UpstreamError, UpstreamRejected, UpstreamTimeout
from engine.queueing import Patience
from engine.types import Delta
from tests.access.asgi_client import Client
from tests.access.parts import CHAT_ONLY, Site, build
from tests.cast import ALICE
from tests.conformance.badinput import CORPUS, HI, TOO_LARGE
from tests.engine.parts import ScriptedModel

LOOK = 0.002  # seconds between two looks
LEAST = 1.0  # seconds: fewer looks say nothing of what needs another thread or another process

TOOL_CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
FRAGMENTS = [
    Delta(
        tool_calls=[
            {"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city"'}}
        ]
    ),
    Delta(tool_calls=[{"index": 0, "function": {"arguments": ': "Paris"}'}}]),
]
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


@dataclass
class Outcome:
    """What a caller got. `status` is None where the protocol has no such thing; `pieces` are the deltas of a stream."""

    status: int | None = None
    code: str | None = None
    param: str | None = None
    retry_after: str | None = None
    text: str | None = None
    pieces: list[str] = field(default_factory=list)
    tool_calls: list[Any] | None = None
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    model: str | None = None
    turn_id: str | None = None
    session_id: str | None = None


def merged(fragments: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tool calls of a stream, as a client puts them together."""
    calls: dict[int, dict[str, Any]] = {}
    for fragment in fragments:
        call = calls.setdefault(fragment["index"], {"function": {"name": "", "arguments": ""}})
        call.update({key: value for key, value in fragment.items() if key in ("id", "type")})
        for key, value in fragment.get("function", {}).items():
            call["function"][key] += value
    return [calls[index] for index in sorted(calls)]


async def within(seconds: float, condition: Any) -> None:
    """Waits until the condition holds. The seconds are this process's own: a look counts as long as the pause before it
    was to be, however late a busy machine let it come."""
    for _ in range(round(max(seconds, LEAST) / LOOK)):
        if condition():
            return
        await asyncio.sleep(LOOK)
    raise AssertionError(f"not within {seconds} s")


class EdgeSuite:
    streams = False  # whether the caller sees pieces
    partial = False  # whether an error can come after the first piece
    creates_sessions = False  # whether an unknown session id starts one
    too_large = TOO_LARGE

    async def ask(self, client: Client, body: dict[str, Any] | bytes, session_id: str | None = None) -> Outcome:
        """Sends one chat request (`body` without what chooses streaming, or raw bytes) and reads the whole answer."""
        raise NotImplementedError

    async def leave_early(self, site: Site) -> None:
        """Asks, waits until the model was called, and hangs up."""
        raise NotImplementedError

    async def chat(self, site: Site, **fields: Any) -> Outcome:
        return await self.ask(site.alice, {"messages": HI, **fields})

    # Answers

    async def test_it_answers(self) -> None:
        site = build(ScriptedModel(["Hel", "lo"]))
        outcome = await self.chat(site)
        assert (outcome.text, outcome.finish_reason, outcome.code) == ("Hello", "stop", None)
        assert outcome.model == "scripted"
        assert outcome.usage is not None and outcome.usage["total_tokens"] == 8
        assert outcome.turn_id == site.behind.journal.intents[0].turn_id
        assert site.behind.journal.states == ["completed"]

    async def test_it_streams_every_piece(self) -> None:
        outcome = await self.chat(build(ScriptedModel(["你", "好", "\n\n", '"'])))
        assert outcome.text == '你好\n\n"'
        if self.streams:
            assert outcome.pieces == ["你", "好", "\n\n", '"']

    async def test_it_answers_with_nothing_if_the_model_says_nothing(self) -> None:
        outcome = await self.chat(build(ScriptedModel([])))
        assert (outcome.text, outcome.finish_reason) == ("", "stop")

    async def test_it_names_the_edge_and_the_user(self) -> None:
        site = build()
        await self.chat(site, user="u-1")
        intent = site.behind.journal.intents[0]
        assert intent.user == f"key:{ALICE.id}:u-1" and intent.edge and intent.request_id

    async def test_it_remembers_a_session(self) -> None:
        model = ScriptedModel(["Hello"])
        site = build(model)
        first = await self.ask(site.alice, {"messages": HI}, session_id="new")
        again = {"messages": [{"role": "user", "content": "And now?"}]}
        second = await self.ask(site.alice, again, session_id=first.session_id)
        assert first.session_id == second.session_id
        said = [(message.role, message.content) for message in model.calls[1].messages]
        assert said == [("user", "Hi"), ("assistant", "Hello"), ("user", "And now?")]

    async def test_it_hands_tool_calls_out(self) -> None:
        model = ScriptedModel(FRAGMENTS, finish="tool_calls")
        outcome = await self.chat(build(model), tools=TOOLS)
        assert outcome.tool_calls == [TOOL_CALL] and outcome.finish_reason == "tool_calls"
        assert model.calls[0].request.tools == TOOLS

    async def test_it_takes_tool_results_in(self) -> None:
        model = ScriptedModel()
        messages = [
            *HI,
            {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]},
            {"role": "tool", "content": "rain", "tool_call_id": "c1"},
        ]
        outcome = await self.ask(build(model).alice, {"messages": messages})
        assert outcome.text == "Hello"
        sent = model.calls[0].messages
        assert sent[1].tool_calls == [TOOL_CALL] and sent[2].tool_call_id == "c1"

    async def test_it_keeps_content_parts(self) -> None:
        model = ScriptedModel()
        parts = [
            {"type": "text", "text": "What is this?", "hidden": "x"},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        ]
        await self.ask(build(model).alice, {"messages": [{"role": "user", "content": parts}]})
        assert model.calls[0].messages[0].content == [{"type": "text", "text": "What is this?"}, parts[1]]

    async def test_it_passes_known_parameters_and_nothing_else(self) -> None:
        model = ScriptedModel()
        outcome = await self.chat(
            build(model), temperature=0.5, max_tokens=7, top_p=0.9, seed=3, stop=["x"], invented={"a": 1}
        )
        assert outcome.text == "Hello"
        request = model.calls[0].request
        assert (request.temperature, request.max_tokens) == (0.5, 7)
        assert request.params.pop("stream_options", None) in (None, {"include_usage": True})
        assert request.params == {"top_p": 0.9, "seed": 3, "stop": ["x"]}

    async def test_it_takes_the_last_of_duplicate_keys(self) -> None:
        model = ScriptedModel()
        raw = b'{"messages":[{"role":"user","content":"first"}],"messages":[{"role":"user","content":"last"}]}'
        outcome = await self.ask(build(model).alice, raw)
        assert outcome.code is None
        assert [message.content for message in model.calls[0].messages] == ["last"]

    # Refusals

    @pytest.mark.parametrize("raw", CORPUS)
    async def test_it_refuses_bad_input(self, raw: bytes) -> None:
        model = ScriptedModel()
        site = build(model)
        outcome = await self.ask(site.alice, raw)
        assert outcome.code in ("invalid_request", "payload_too_large")
        assert outcome.status in (400, 413, None)
        assert not model.calls and not site.behind.journal.entries
        assert (await self.chat(site)).text == "Hello"

    async def test_it_refuses_what_is_too_large(self) -> None:
        site = build()
        outcome = await self.ask(site.alice, self.too_large)
        assert outcome.code == "payload_too_large" and outcome.status in (413, None)

    async def test_it_needs_a_credential(self) -> None:
        outcome = await self.ask(build().stranger, {"messages": HI})
        assert (outcome.status, outcome.code) == (401, "unauthenticated")

    async def test_it_needs_the_scope(self) -> None:
        outcome = await self.ask(build().client(CHAT_ONLY), {"messages": HI})
        assert (outcome.status, outcome.code) == (403, "forbidden")

    async def test_it_knows_no_such_model(self) -> None:
        outcome = await self.chat(build(), model="missing")
        assert outcome.code == "model_not_found" and outcome.status in (404, None)

    async def test_it_starts_a_session_by_its_name_only_if_that_is_its_way(self) -> None:
        outcome = await self.ask(build().alice, {"messages": HI}, session_id="nobodys")
        if self.creates_sessions:
            assert outcome.session_id == "nobodys" and outcome.text == "Hello"
        else:
            assert outcome.code == "session_not_found" and outcome.status in (404, None)

    async def test_it_hands_on_the_limiters_refusal(self) -> None:
        site = build()
        site.behind.limiter.refusal = RateLimited(retry_after=6.2)
        outcome = await self.chat(site)
        assert outcome.code == "rate_limited" and outcome.status in (429, None)
        assert outcome.retry_after in ("7", None) and (outcome.status is None or outcome.retry_after)

    async def test_it_says_when_a_full_worker_may_have_room(self) -> None:
        site = build()
        worker = site.parts.engine.worker
        worker.turns.limit, worker.queue.patience = 1, Patience(seconds=9.0)
        for _ in range(2):
            worker.turns.take(99)
            worker.turns.leave(99, cost=260, seconds=40.0)
        worker.turns.take(99)
        outcome = await self.chat(site)
        assert outcome.code == "overloaded" and outcome.status in (503, None)
        assert 9 < int(outcome.retry_after or 0) <= 600
        assert not site.behind.models[0].calls and site.behind.limiter.open == 0

    async def test_it_waits_for_a_full_worker_and_is_answered(self) -> None:
        site = build()
        turns = site.parts.engine.worker.turns
        turns.limit = 1
        turns.take(99)
        asyncio.get_running_loop().call_later(0.3, turns.leave, 99)
        assert (await self.chat(site)).text == "Hello"
        assert site.behind.journal.intents[0].decision["waited"] > 0
        await within(1, lambda: turns.running == 0)

    @pytest.mark.parametrize(
        ("error", "status"),
        [
            (UpstreamError(), 502),
            (UpstreamTimeout(), 504),
            (UpstreamBusy(retry_after=3), 429),
            (UpstreamRejected(), 400),
        ],
        ids=lambda value: getattr(value, "code", None),
    )
    async def test_it_says_how_the_upstream_failed(self, error: EngineError, status: int) -> None:
        outcome = await self.chat(build(ScriptedModel([error])))
        assert outcome.code == error.code and outcome.status in (status, None)

    async def test_it_ends_a_broken_stream_with_an_error(self) -> None:
        site = build(ScriptedModel(["Hel", UpstreamError()]))
        outcome = await self.chat(site)
        assert outcome.code == "upstream_error" and outcome.finish_reason is None
        assert site.behind.journal.states == ["failed"]
        if self.partial:
            assert outcome.pieces == ["Hel"]

    async def test_it_refuses_blocked_input(self) -> None:
        model = ScriptedModel()
        outcome = await self.chat(build(model, words=["Hi"]))
        assert outcome.code in ("content_blocked", "content_filter") and outcome.status in (400, None)
        assert not model.calls

    async def test_it_ends_blocked_output_with_content_filter(self) -> None:
        outcome = await self.chat(build(ScriptedModel(["fine ", "bad", " more"]), words=["bad"]))
        assert (outcome.text, outcome.finish_reason) == ("fine ", "content_filter")

    async def test_it_says_nothing_while_the_journal_is_down(self) -> None:
        site = build(ScriptedModel(["secret"]))
        site.behind.journal.broken = True
        outcome = await self.chat(site)
        assert outcome.code == "audit_unavailable" and outcome.status in (503, None)
        assert not outcome.text and not outcome.pieces

    async def test_it_shows_nothing_of_a_mistake_in_the_program(self, caplog: pytest.LogCaptureFixture) -> None:
        outcome = await self.chat(build(ScriptedModel([ZeroDivisionError("secret")])))
        assert outcome.code == "internal_error" and outcome.status in (500, None)
        assert "a request failed" in caplog.text

    async def test_it_cancels_when_the_caller_leaves(self) -> None:
        model = ScriptedModel(["Hel", asyncio.Event(), "lo"])
        site = build(model)
        await self.leave_early(site)
        await within(0.5, lambda: model.closed == 1)
        await within(0.5, lambda: site.behind.journal.states == ["cancelled"])
        assert len(site.parts.running) == 0 and site.behind.limiter.open == 0
