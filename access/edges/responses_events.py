"""The events of a streamed response. Source: OpenAI's API reference, Responses, streaming events.

An item is added when its first piece comes and done when another kind of item follows, or at the end; calls of
functions, whose pieces may alternate, are done at the end. What is told of an item at its end is all that was told of
it piece by piece."""

from __future__ import annotations

from typing import Final

import orjson

from access import events
from access.edges import responses_answers as answers
from access.edges import responses_items as items
from access.edges.responses_answers import Frame
from engine.types import Delta, Done, Json, Start

TEXT: Final = "output_text"
REFUSAL: Final = "refusal"
TEXT_DELTA: Final = (
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":%d,'
    b'"item_id":"%b","output_index":%d,"content_index":%d,"delta":%b,"logprobs":[]}\n\n'
)


class _Open:
    """An item that is being told. `parts` are those of a message that are done, `kind` is what its last one is."""

    __slots__ = ("call", "id", "kind", "logprobs", "parts", "place", "pieces", "told")

    def __init__(self, item_id: str, place: int) -> None:
        self.id = item_id
        self.place = place
        self.kind = ""
        self.pieces: list[str] = []
        self.logprobs: list[Json] = []
        self.parts: list[Json] = []
        self.call: Json = {"function": {"name": "", "arguments": ""}}
        self.told = False

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class ResponseStream:
    """The bytes of one stream."""

    def __init__(self, start: Start, frame: Frame) -> None:
        self._turn_id = start.id
        self._summary = frame.summary
        self._response = answers.begun(start.id, start.model, frame)
        self._number = 0
        self._output: dict[int, Json] = {}  # by place; what is done
        self._places = 0
        self._counts = {"rs": 0, "msg": 0, "fc": 0}
        self._reasoning: _Open | None = None
        self._message: _Open | None = None
        self._calls: dict[int, _Open] = {}

    def begin(self) -> bytes:
        return self._of_response("response.created", self._response) + self._of_response(
            "response.in_progress", self._response
        )

    def add(self, delta: Delta) -> bytes:
        message, content = self._message, delta.content
        if content and message is not None and message.kind == TEXT and _only_content(delta):
            message.pieces.append(content)
            self._number += 1
            place = message.id.encode(), message.place, len(message.parts)
            return TEXT_DELTA % (self._number - 1, *place, orjson.dumps(content))
        if delta.index:
            return b""  # this format knows one choice
        told = []
        if delta.reasoning:
            told.append(self._reason(delta.reasoning))
        if content:
            told.append(self._say(TEXT, content, items.token_logprobs(delta.logprobs)))
        if delta.refusal:
            told.append(self._say(REFUSAL, delta.refusal, []))
        for fragment in delta.tool_calls or ():
            told.append(self._call(fragment))
        return b"".join(told)

    def end(self, done: Done) -> bytes:
        """Everything that is open is done, and so is the response."""
        status = answers.status_of(done.finish_reason)
        told = [self._close(status)]
        if not self._output:
            told.append(self._say(TEXT, "", []) + self._close(status))
        response = answers.ended(self._response, done.finish_reason, self._told(), done.usage, done.ended)
        if done.metadata:
            response["clawdbot"] = events.vendor(done)
        return b"".join([*told, self._of_response(f"response.{status}", response)])

    def fail(self, error: Json) -> bytes:
        """`error` as in OpenAI's envelope. Clients look for it in one of two shapes; this has both."""
        named = {name: error[name] for name in ("code", "message", "param")}
        told = self._event("error", **named, error=error)
        response = answers.failed(self._response, error["code"], error["message"], self._told())
        return told + self._of_response("response.failed", response)

    # Items -----------------------------------------------------------------------------------------------------------

    def _open(self, kind: str) -> _Open:
        number, place = self._counts[kind], self._places
        self._counts[kind] += 1
        self._places += 1
        return _Open(items.own_id(kind, self._turn_id, number), place)

    def _reason(self, text: str) -> bytes:
        told = b""
        item = self._reasoning
        if item is None:
            told = self._close_message("completed")
            item = self._reasoning = self._open("rs")
            empty = items.reasoning_item(item.id, "", summary=self._summary, status="in_progress")
            told += self._added(item, empty)
            told += self._of_thought(item, "added", part=self._thought(""))
        item.pieces.append(text)
        return told + self._of_thought(item, "delta", delta=text)

    def _say(self, kind: str, text: str, logprobs: list[Json]) -> bytes:
        told = b""
        item = self._message
        if item is None:
            told = self._close_reasoning()
            item = self._message = self._open("msg")
            told += self._added(item, items.message_item(item.id, [], "in_progress"))
        if item.kind != kind:
            told += self._close_part(item)
            item.kind = kind
            told += self._of_part(item, "response.content_part.added", part=_part(kind, "", []))
        item.pieces.append(text)
        item.logprobs.extend(logprobs)
        if not text:
            return told
        more = {"logprobs": logprobs} if kind == TEXT else {}
        return told + self._of_part(item, f"response.{kind}.delta", delta=text, **more)

    def _call(self, fragment: Json) -> bytes:
        """The call is added with its first arguments: until then its name may be cut."""
        index = fragment.get("index", len(self._calls))
        told = b""
        item = self._calls.get(index)
        if item is None:
            told = self._close_reasoning() + self._close_message("completed")
            item = self._calls[index] = self._open("fc")
        function, known = fragment.get("function") or {}, item.call["function"]
        item.call.update({key: fragment[key] for key in ("id", "extra_content") if fragment.get(key)})
        name, arguments = function.get("name"), function.get("arguments")
        if name and name != known["name"]:
            known["name"] += name
        if arguments:
            told += self._add_call(item)
            item.pieces.append(arguments)
            told += self._of_item(item, "response.function_call_arguments.delta", delta=arguments)
        return told

    def _add_call(self, item: _Open) -> bytes:
        if item.told:
            return b""
        item.told = True
        return self._added(item, items.call_item(item.id, item.call, "in_progress"))

    # Ends ------------------------------------------------------------------------------------------------------------

    def _close(self, status: str) -> bytes:
        told = self._close_reasoning() + self._close_message(status)
        for item in self._calls.values():
            told += self._add_call(item)
            call = {**item.call, "function": {**item.call["function"], "arguments": item.text}}
            named = {"name": call["function"]["name"], "arguments": item.text}
            told += self._of_item(item, "response.function_call_arguments.done", **named)
            told += self._done(item, items.call_item(item.id, call, status))
        self._calls = {}
        return told

    def _close_reasoning(self) -> bytes:
        item, self._reasoning = self._reasoning, None
        if item is None:
            return b""
        told = self._of_thought(item, "done", text=item.text)
        told += self._of_thought(item, "part.done", part=self._thought(item.text))
        return told + self._done(item, items.reasoning_item(item.id, item.text, summary=self._summary))

    def _close_message(self, status: str) -> bytes:
        item, self._message = self._message, None
        if item is None:
            return b""
        told = self._close_part(item)
        return told + self._done(item, items.message_item(item.id, item.parts, status))

    def _close_part(self, item: _Open) -> bytes:
        if not item.kind:
            return b""
        part = _part(item.kind, item.text, item.logprobs)
        if item.kind == TEXT:
            told = self._of_part(item, "response.output_text.done", text=item.text, logprobs=item.logprobs)
        else:
            told = self._of_part(item, "response.refusal.done", refusal=item.text)
        told += self._of_part(item, "response.content_part.done", part=part)
        item.parts.append(part)
        item.kind, item.pieces, item.logprobs = "", [], []
        return told

    def _told(self) -> list[Json]:
        return [self._output[place] for place in sorted(self._output)]

    # Events ----------------------------------------------------------------------------------------------------------

    def _event(self, kind: str, **fields: object) -> bytes:
        number, self._number = self._number, self._number + 1
        return b"event: %b\ndata: %b\n\n" % (
            kind.encode(),
            orjson.dumps({"type": kind, "sequence_number": number, **fields}),
        )

    def _of_response(self, kind: str, response: Json) -> bytes:
        return self._event(kind, response=response)

    def _added(self, item: _Open, told: Json) -> bytes:
        return self._event("response.output_item.added", output_index=item.place, item=told)

    def _done(self, item: _Open, told: Json) -> bytes:
        self._output[item.place] = told
        return self._event("response.output_item.done", output_index=item.place, item=told)

    def _of_item(self, item: _Open, kind: str, **fields: object) -> bytes:
        return self._event(kind, item_id=item.id, output_index=item.place, **fields)

    def _of_part(self, item: _Open, kind: str, **fields: object) -> bytes:
        return self._of_item(item, kind, content_index=len(item.parts), **fields)

    def _of_thought(self, item: _Open, what: str, **fields: object) -> bytes:
        """`what`: `added` and `part.done` of the part, `delta` and `done` of its text."""
        part = what in ("added", "part.done")
        verb = "done" if what == "part.done" else what
        if self._summary:
            kind = f"response.reasoning_summary_{'part' if part else 'text'}.{verb}"
            return self._of_item(item, kind, summary_index=0, **fields)
        kind = f"response.content_part.{verb}" if part else f"response.reasoning_text.{verb}"
        return self._of_item(item, kind, content_index=0, **fields)

    def _thought(self, text: str) -> Json:
        return {"type": "summary_text" if self._summary else "reasoning_text", "text": text}


def _part(kind: str, text: str, logprobs: list[Json]) -> Json:
    return items.text_part(text, logprobs) if kind == TEXT else {"type": REFUSAL, "refusal": text}


def _only_content(delta: Delta) -> bool:
    return not (delta.index or delta.reasoning or delta.tool_calls or delta.refusal or delta.logprobs)
