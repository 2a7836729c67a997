"""The formats clients speak, the OpenAI chat format and our own; the others are in modules of their own."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import ClassVar

from tests.access.parts import Site
from tests.conformance.edges import merged
from tests.conformance.matrix.features import Got, Json

Began = Callable[[], Awaitable[None]]


def events_of(raw: bytes) -> list[dict[str, str]]:
    """Server-sent events as dictionaries of their fields."""
    return [dict(line.split(": ", 1) for line in block.split("\n")) for block in raw.decode()[:-2].split("\n\n")]


class Format:
    """`absent` are features the format has no word for. `notes` say what becomes of a feature on its way in, and `told`
    looks at what then reaches a service, whichever it is."""

    name: ClassVar[str]
    route: ClassVar[str]
    absent: ClassVar[frozenset[str]] = frozenset()
    notes: ClassVar[Mapping[str, str]] = {}
    told: ClassVar[Mapping[str, Callable[[Json], bool]]] = {}

    def body(self, asked: Json, messages: list[Json], stream: bool) -> Json:
        """What is asked, from OpenAI's words into the format's own."""
        return {**asked, "messages": messages, **({"stream": True} if stream else {})}

    async def ask(self, site: Site, body: Json) -> Got:
        """The whole answer, or how it was refused."""
        raise NotImplementedError

    async def leave(self, site: Site, body: Json, began: Began) -> None:
        """Asks, waits until the answer `began`, and hangs up."""
        exchange = site.alice.begin("POST", self.route, body)
        await began()
        exchange.leave()
        await exchange.task


class WireFormat(Format):
    """A format over HTTP, in OpenAI's or Anthropic's manner: an answer is whole or server-sent events."""

    async def ask(self, site: Site, body: Json) -> Got:
        answer = await site.alice.post(self.route, body)
        got = Got(answer.status)
        if answer.status != 200:
            self.refused(got, answer.json["error"])
        elif "stream" not in body:
            self.whole(got, answer.json)
        else:
            for event in events_of(answer.body):
                if event["data"] != "[DONE]":
                    self.chunk(got, json.loads(event["data"]))
        return got

    def refused(self, got: Got, error: Json) -> None:
        """OpenAI's way to say it."""
        got.code, got.param = error["code"], error["param"]
        words = error["message"].startswith("This model's maximum context length is ")
        got.overflow = words and got.code == "context_length_exceeded"

    def whole(self, got: Got, body: Json) -> None:
        raise NotImplementedError

    def chunk(self, got: Got, body: Json) -> None:
        raise NotImplementedError


class ChatCompletions(WireFormat):
    name = "OpenAI Chat Completions"
    route = "/v1/chat/completions"

    def body(self, asked: Json, messages: list[Json], stream: bool) -> Json:
        more = {"stream_options": {"include_usage": True}} if stream else {}
        return {**super().body(asked, messages, stream), **more}

    def whole(self, got: Got, body: Json) -> None:
        for one in body["choices"]:
            said, message = got.choice(one["index"]), one["message"]
            said.text, said.reasoning = message["content"] or "", message.get("reasoning_content", "")
            said.calls, said.finish = message.get("tool_calls", []), one["finish_reason"]
            said.logprobs = (one["logprobs"] or {}).get("content") or []
        got.usage = (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"])

    def chunk(self, got: Got, body: Json) -> None:
        if "error" in body:
            self.refused(got, body["error"])
            return
        for one in body["choices"]:
            said, delta = got.choice(one["index"]), one["delta"]
            said.text += delta.get("content") or ""
            got.pieces += bool(delta.get("content"))
            said.reasoning += delta.get("reasoning_content") or ""
            said.calls = merged([*fragments(said.calls), *delta.get("tool_calls", [])])
            said.finish = one["finish_reason"] or said.finish
            said.logprobs += (one["logprobs"] or {}).get("content") or []
        if body["usage"]:
            got.usage = (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"])


def fragments(calls: list[Json]) -> list[Json]:
    """Whole calls as fragments again, for more to be added."""
    return [{"index": index, **call} for index, call in enumerate(calls)]


class Rest(Format):
    name = "/api/chat"
    route = "/api/chat"

    async def ask(self, site: Site, body: Json) -> Got:
        answer = await site.alice.post(self.route, body)
        got = Got(answer.status)
        if answer.status != 200:
            self.event(got, "error", answer.json["error"])
        elif "stream" not in body:
            self.event(got, "done", answer.json)
        else:
            for event in events_of(answer.body):
                self.event(got, event["event"], json.loads(event["data"]))
        return got

    def event(self, got: Got, kind: str, body: Json) -> None:
        if kind == "error":
            got.code, got.param = body["code"], body.get("param")
            got.overflow = got.code == "context_length_exceeded"
        elif kind == "delta":
            said = got.choice(body.get("index", 0))
            said.text += body.get("content", "")
            got.pieces += "content" in body
        elif kind == "done":
            for one in body.get("choices", [{"index": 0, **body}]):
                said, message = got.choice(one["index"]), one["message"]
                said.text, said.reasoning = message["content"] or "", message.get("reasoning_content", "")
                said.calls, said.finish = message.get("tool_calls", []), one["finish_reason"]
                said.logprobs = (one.get("logprobs") or {}).get("content") or []
            got.usage = (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"])

    async def leave(self, site: Site, body: Json, began: Began) -> None:
        await super().leave(site, {key: value for key, value in body.items() if key != "stream"}, began)


class WebSocket(Rest):
    name = "WebSocket"
    route = "/ws/chat"

    async def ask(self, site: Site, body: Json) -> Got:
        got = Got(None)
        async with site.alice.socket() as socket:
            await socket.connect()
            socket.send({"type": "chat", **body})
            for frame in await socket.until("done", "error"):
                self.event(got, frame["type"], frame)
        return got

    async def leave(self, site: Site, body: Json, began: Began) -> None:
        async with site.alice.socket() as socket:
            await socket.connect()
            socket.send({"type": "chat", **body})
            await began()
