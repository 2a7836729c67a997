"""From the bodies of our events (`access.events`) to protobuf messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson
from google.protobuf.struct_pb2 import Struct

from access.edges.grpc.generated import chat_pb2 as pb
from engine.types import Json


def response(body: Json) -> pb.ChatResponse:
    """Of `events.answer`."""
    return pb.ChatResponse(
        session_id=body["session_id"],
        model=body["model"],
        **_ending(body),
    )


def start(body: Json) -> pb.Start:
    return pb.Start(
        id=body["id"],
        session_id=body["session_id"],
        model=body["model"],
        source=body.get("source"),
        replayed=body.get("replayed"),
    )


def delta(body: Json) -> pb.Delta | Json:
    """Text as it is: its names are those of the message, and from them the library makes it in a third of the time."""
    if "tool_calls" not in body:
        return body
    return pb.Delta(
        content=body.get("content"),
        reasoning=body.get("reasoning"),
        tool_calls=[_fragment(each) for each in body.get("tool_calls", ())],
        refusal=body.get("refusal"),
        index=body.get("index"),
    )


def done(body: Json) -> pb.Done:
    return pb.Done(**_ending(body))


def error(body: Json) -> pb.Error:
    return pb.Error(
        code=body["code"],
        message=body["message"],
        request_id=body["request_id"],
        retryable=body["retryable"],
        turn_id=body.get("turn_id"),
        param=body.get("param"),
        retry_after=body.get("retry_after"),
    )


EVENTS: Final[dict[str, Callable[[Json], Any]]] = {"start": start, "delta": delta, "done": done, "error": error}


def frame(kept: bytes, ref: str) -> bytes:
    """A ServerFrame of an event as `access.frames` keeps it."""
    number, name, data, _ = kept.split(b"\n", 3)
    kind = name[7:].decode("ascii")
    made = EVENTS[kind](orjson.loads(data[6:]))
    return pb.ServerFrame(ref=ref, event_id=number[4:].decode("ascii"), **{kind: made}).SerializeToString()


def _ending(body: Json) -> dict[str, Any]:
    used, route = body["usage"], body["route"]
    return {
        "id": body["id"],
        "message": _message(body["message"]),
        "usage": pb.Usage(
            prompt_tokens=used["prompt_tokens"],
            completion_tokens=used["completion_tokens"],
            total_tokens=used["total_tokens"],
            cached_tokens=used["prompt_tokens_details"]["cached_tokens"],
            reasoning_tokens=used["completion_tokens_details"]["reasoning_tokens"],
            estimated=used.get("estimated"),
        ),
        "finish_reason": body["finish_reason"],
        "route": pb.Route(
            instance=route["instance"], rules=route["rules"], decision=route["decision"], source=route.get("source")
        ),
        "choices": [_choice(each) for each in body.get("choices", ())],
        "metadata": _struct(body.get("metadata")),
    }


def _choice(body: Json) -> pb.Choice:
    return pb.Choice(index=body["index"], message=_message(body["message"]), finish_reason=body["finish_reason"])


def _message(body: Json) -> pb.Message:
    said = pb.Message(
        role=body["role"],
        content=body["content"],
        reasoning_content=body.get("reasoning_content"),
        refusal=body.get("refusal"),
    )
    for call in body.get("tool_calls", ()):
        function = call["function"]
        said.tool_calls.add(
            id=call.get("id"),
            function=pb.FunctionCall(name=function["name"], arguments=function["arguments"]),
            extra_content=_struct(call.get("extra_content")),
        )
    return said


def _fragment(body: Json) -> pb.ToolCallDelta:
    function = body.get("function") or {}
    return pb.ToolCallDelta(
        index=body.get("index"),
        id=body.get("id"),
        name=function.get("name"),
        arguments=function.get("arguments"),
        extra_content=_struct(body.get("extra_content")),
    )


def _struct(body: Json | None) -> Struct | None:
    if body is None:
        return None
    made = Struct()
    made.update(body)
    return made
