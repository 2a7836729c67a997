"""Between the objects of `/api/chat` and the messages of `clawdbot.v1`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict

from clawdbot_client import events
from clawdbot_client.errors import ClawdbotError
from clawdbot_client.events import Answer, Event, Json
from clawdbot_client.generated import chat_pb2 as pb


def request(body: Json) -> pb.ChatRequest:
    """Raises ParseError, TypeError, KeyError, AttributeError: the types cannot say it."""
    said = dict(body)
    if "messages" in said:
        said["messages"] = [_message(each) for each in said["messages"]]
    if isinstance(said.get("stop"), str):
        said["stop"] = [said["stop"]]
    if "tools" in said:
        said["tools"] = [each["function"] for each in said["tools"]]
    return ParseDict(said, pb.ChatRequest())


def answer(said: pb.ChatResponse) -> Answer:
    session_id = said.session_id if said.HasField("session_id") else None
    return Answer(session_id=session_id, model=said.model, **_ending(said))


def event(sent: pb.ChatEvent | pb.ServerFrame, event_id: str | None) -> Event | None:
    """None: one that this version does not know."""
    match sent.WhichOneof("kind"):
        case "start":
            start = sent.start
            return events.Start(
                id=start.id,
                session_id=start.session_id if start.HasField("session_id") else None,
                model=start.model,
                source=start.source or "model",
                replayed=start.replayed,
                event_id=event_id,
            )
        case "delta":
            delta = sent.delta
            return events.Delta(
                content=delta.content if delta.HasField("content") else None,
                reasoning=delta.reasoning if delta.HasField("reasoning") else None,
                tool_calls=[_fragment(each) for each in delta.tool_calls],
                refusal=delta.refusal if delta.HasField("refusal") else None,
                index=delta.index,
                event_id=event_id,
            )
        case "done":
            return events.Done(**_ending(sent.done), event_id=event_id)
    return None


def error(said: pb.Error) -> ClawdbotError:
    return ClawdbotError(
        said.code,
        said.message,
        request_id=said.request_id,
        retryable=said.retryable,
        retry_after=said.retry_after if said.HasField("retry_after") else None,
        param=said.param or None,
        turn_id=said.turn_id or None,
    )


def _ending(said: pb.ChatResponse | pb.Done) -> dict[str, Any]:
    usage, route = said.usage, said.route
    return {
        "id": said.id,
        "message": _said(said.message),
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
            "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
            **({"estimated": True} if usage.estimated else {}),
        },
        "finish_reason": said.finish_reason,
        "route": {
            "instance": route.instance,
            "rules": list(route.rules),
            "decision": route.decision,
            **({"source": route.source} if route.source else {}),
        },
        "choices": [
            {"index": each.index, "message": _said(each.message), "finish_reason": each.finish_reason}
            for each in said.choices
        ],
        "metadata": MessageToDict(said.metadata),
    }


def _message(message: Mapping[str, Any]) -> Json:
    said = {name: value for name, value in message.items() if value is not None}
    if isinstance(said.get("content"), list):
        said["parts"] = [_part(part) for part in said.pop("content")]
    if "tool_calls" in said:
        said["tool_calls"] = [_without_type(call) for call in said["tool_calls"]]
    return said


def _part(part: Mapping[str, Any]) -> Json:
    said = _without_type(part)
    if "cache_control" in said:
        said["cache_control"] = _without_type(said["cache_control"])
    return said


def _without_type(given: Mapping[str, Any]) -> Json:
    """What a message is, its field says."""
    return {name: value for name, value in given.items() if name != "type"}


def _said(message: pb.Message) -> Json:
    body: Json = {"role": message.role, "content": message.content if message.HasField("content") else None}
    if message.tool_calls:
        body["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.function.name, "arguments": call.function.arguments},
                **({"extra_content": MessageToDict(call.extra_content)} if call.HasField("extra_content") else {}),
            }
            for call in message.tool_calls
        ]
    if message.reasoning_content:
        body["reasoning_content"] = message.reasoning_content
    if message.refusal:
        body["refusal"] = message.refusal
    return body


def _fragment(call: pb.ToolCallDelta) -> Json:
    function = {name: getattr(call, name) for name in ("name", "arguments") if call.HasField(name)}
    return {
        "index": call.index,
        **({"id": call.id, "type": "function"} if call.HasField("id") else {}),
        **({"function": function} if function else {}),
    }
