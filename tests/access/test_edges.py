"""Every edge against the one suite."""

from __future__ import annotations

import json

from tests.access.asgi_client import Closed, Refused
from tests.conformance.badinput import TOO_LARGE_FOR_CHAT
from tests.conformance.edges import HI, EdgeSuite, Outcome, merged, within


def prepared(body, **fields):
    """Raw bytes stay as they are; what chooses streaming goes into an object."""
    return body if isinstance(body, bytes) else {**body, **fields}


def sse(raw):
    """Events of a stream as dictionaries of their fields."""
    assert raw.endswith(b"\n\n")
    return [dict(line.split(": ", 1) for line in block.split("\n")) for block in raw.decode()[:-2].split("\n\n")]


class TestRest(EdgeSuite):
    stream = False

    async def ask(self, client, body, session_id=None):
        fields = {"session_id": session_id} if session_id not in (None, "new") else {}
        answer = await client.post("/api/chat", prepared(body, **fields, **({"stream": True} if self.stream else {})))
        assert answer.headers["x-request-id"]
        if answer.status != 200:
            return refused(answer)
        return self.read(answer)

    def read(self, answer):
        said = answer.json
        assert answer.headers["x-clawdbot-decision"] == said["id"] == said["route"]["decision"]
        assert answer.headers["x-clawdbot-model"] == said["model"]
        return Outcome(
            status=200,
            text=said["message"]["content"],
            tool_calls=said["message"].get("tool_calls"),
            finish_reason=said["finish_reason"],
            usage=said["usage"],
            model=said["model"],
            turn_id=said["id"],
            session_id=said["session_id"],
        )

    async def leave_early(self, site):
        exchange = site.alice.begin("POST", "/api/chat", {"messages": HI, "stream": self.stream})
        await within(1, lambda: site.behind.models[0].calls)
        exchange.leave()
        await exchange.task


class TestServerSentEvents(TestRest):
    stream = True
    streams = partial = True

    def read(self, answer):
        if answer.headers["content-type"] == "application/json":  # raw bytes that did not ask for a stream
            return super().read(answer)
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store" and answer.headers["x-accel-buffering"] == "no"
        events = sse(answer.body)
        turn_id = answer.headers["x-clawdbot-decision"]
        assert [event["id"] for event in events] == [f"{turn_id}.{number}" for number in range(len(events))]
        return folded([(event["event"], json.loads(event["data"])) for event in events])


class TestOpenAI(EdgeSuite):
    too_large = TOO_LARGE_FOR_CHAT
    stream = False
    creates_sessions = True

    async def ask(self, client, body, session_id=None):
        headers = {"X-Session-Id": "memory-1" if session_id == "new" else session_id} if session_id else None
        more = {"stream": True, "stream_options": {"include_usage": True}} if self.stream else {}
        answer = await client.post("/v1/chat/completions", prepared(body, **more), headers)
        assert answer.headers["x-request-id"]
        if answer.status != 200:
            return refused(answer, openai=True)
        outcome = self.read(answer)
        outcome.turn_id = answer.headers["x-clawdbot-decision"]
        outcome.session_id = headers["X-Session-Id"] if headers else None
        return outcome

    def read(self, answer):
        said = answer.json
        assert said["object"] == "chat.completion" and said["id"].startswith("chatcmpl-")
        assert {"created", "model", "choices", "usage"} <= set(said)
        choice = said["choices"][0]
        assert choice["logprobs"] is None and choice["message"]["refusal"] is None
        return Outcome(
            status=200,
            text=choice["message"]["content"],
            tool_calls=choice["message"].get("tool_calls"),
            finish_reason=choice["finish_reason"],
            usage=said["usage"],
            model=said["model"],
        )

    async def leave_early(self, site):
        exchange = site.alice.begin("POST", "/v1/chat/completions", {"messages": HI, "stream": self.stream})
        await within(1, lambda: site.behind.models[0].calls)
        exchange.leave()
        await exchange.task


class TestOpenAIStream(TestOpenAI):
    stream = True
    streams = partial = True

    def read(self, answer):
        if answer.headers["content-type"] == "application/json":
            return super().read(answer)
        events = [event["data"] for event in sse(answer.body)]
        outcome = Outcome(status=200)
        if events[-1] != "[DONE]":
            outcome.code = json.loads(events.pop())["error"]["code"]
        else:
            events.pop()
        chunks = [json.loads(event) for event in events]
        assert len({chunk["id"] for chunk in chunks}) <= 1
        assert {chunk["object"] for chunk in chunks} <= {"chat.completion.chunk"}
        return _unchunked(chunks, outcome)


def _unchunked(chunks, outcome):
    fragments = []
    for number, chunk in enumerate(chunks):
        outcome.model = chunk["model"]
        assert "usage" in chunk
        if not chunk["choices"]:
            outcome.usage = chunk["usage"]
            assert number == len(chunks) - 1 and outcome.finish_reason
            continue
        choice = chunk["choices"][0]
        assert choice["logprobs"] is None and chunk["usage"] is None
        assert ("role" in choice["delta"]) == (number == 0)
        outcome.finish_reason = choice["finish_reason"]
        if choice["delta"].get("content"):
            outcome.pieces.append(choice["delta"]["content"])
        fragments.extend(choice["delta"].get("tool_calls") or [])
    outcome.text = "".join(outcome.pieces)
    outcome.tool_calls = merged(fragments) or None
    return outcome


class TestWebSocket(EdgeSuite):
    streams = partial = True

    async def ask(self, client, body, session_id=None):
        async with client.socket() as socket:
            try:
                await socket.connect()
            except Refused as refusal:
                return Outcome(status=refusal.status, code=json.loads(refusal.body)["error"]["code"])
            socket.send(self.frame(body, session_id))
            try:
                frames = await socket.until("done", "error")
            except Closed as closed:
                assert closed.code == 1009
                return Outcome(code="payload_too_large")
            if not isinstance(body, bytes):
                assert {frame["ref"] for frame in frames} == {"r1"}
            turn_id = frames[0].get("id")
            if turn_id:
                assert [frame["event_id"] for frame in frames] == [f"{turn_id}.{n}" for n in range(len(frames))]
            return folded([(frame["type"], frame) for frame in frames], status=None)

    def frame(self, body, session_id):
        if isinstance(body, bytes):
            frame = body.replace(b"{", b'{"type":"chat",', 1).replace(b",}", b"}", 1) if body[:1] == b"{" else body
            try:
                return frame.decode()
            except UnicodeDecodeError:
                return frame
        named = {"session_id": session_id} if session_id not in (None, "new") else {}
        return {"type": "chat", "ref": "r1", **body, **named}

    async def leave_early(self, site):
        async with site.alice.socket() as socket:
            await socket.connect()
            socket.send({"type": "chat", "messages": HI})
            await within(1, lambda: site.behind.models[0].calls)


def folded(events, status=200):
    """Our own events as one outcome."""
    outcome, fragments = Outcome(status=status), []
    for kind, data in events:
        if kind == "start":
            outcome.turn_id, outcome.session_id, outcome.model = data["id"], data["session_id"], data["model"]
        elif kind == "delta":
            if "content" in data:
                outcome.pieces.append(data["content"])
            fragments.extend(data.get("tool_calls", []))
        elif kind == "error":
            assert data["message"] and data["request_id"] and "retryable" in data
            outcome.code = data["code"]
            outcome.retry_after = str(data["retry_after"]) if "retry_after" in data else None
        else:
            outcome.finish_reason, outcome.usage = data["finish_reason"], data["usage"]
            outcome.text = "".join(outcome.pieces)
            assert (data["message"]["content"] or "") == outcome.text
            outcome.tool_calls = merged(fragments) or None
            assert data["message"].get("tool_calls") == outcome.tool_calls
    return outcome


def refused(answer, openai=False):
    error = answer.json["error"]
    wanted = {"message", "type", "param", "code", "retryable"}
    if not openai:
        wanted = {"code", "message", "request_id", "retryable"}
        assert error["request_id"] == answer.headers["x-request-id"]
    assert wanted <= set(error) and isinstance(error["message"], str)
    return Outcome(
        status=answer.status,
        code=error["code"],
        param=error.get("param"),
        retry_after=answer.headers.get("retry-after"),
    )
