"""The bodies of our own events, the same on server-sent events and WebSocket, and the JSON answer of `/api/chat`."""

from __future__ import annotations

from engine.types import Choice, Delta, Done, Json, Message, Source, Start, Usage


def start(event: Start) -> Json:
    """`source` only where no model was asked: `cache`, `shared` or `plugin`; `replayed` where it is the answer that
    was given before."""
    body: Json = {"id": event.id, "session_id": event.session_id, "model": event.model}
    if event.source != "model":
        body["source"] = event.source
    if event.replayed:
        body["replayed"] = True
    return body


def delta(event: Delta) -> Json:
    """`content`, `reasoning`, `tool_calls` (OpenAI's stream fragments) or `refusal`; `index` beside choice 0."""
    body: Json = {}
    if event.content is not None:
        body["content"] = event.content
    if event.reasoning is not None:
        body["reasoning"] = event.reasoning
    if event.tool_calls:
        body["tool_calls"] = event.tool_calls
    if event.refusal is not None:
        body["refusal"] = event.refusal
    if event.index:
        body["index"] = event.index
    return body


def done(event: Done, source: Source = "model") -> Json:
    """The terminal event. `choices` only where more than one was asked for; else `message` says it all, and `logprobs`
    where they were asked for; `metadata` where plugins have something to say, by their names. `route` names the
    `source` as `start` does."""
    body: Json = {
        "id": event.id,
        "message": message(event.message),
        "usage": usage(event.usage),
        "finish_reason": event.finish_reason,
        "route": event.route if source == "model" else {**event.route, "source": source},
    }
    if event.choices[0].logprobs:
        body["logprobs"] = event.choices[0].logprobs
    if event.metadata:
        body["metadata"] = event.metadata
    if len(event.choices) > 1:
        body["choices"] = [choice(one) for one in event.choices]
    return body


def answer(event: Done, source: Source = "model") -> Json:
    """The whole answer where nothing is streamed."""
    return {"session_id": event.session_id, "model": event.model, **done(event, source)}


def vendor(event: Done) -> Json:
    """Our own field in other formats: what plugins have to say, by their names. Only where they do."""
    return {"plugins": event.metadata}


def choice(one: Choice) -> Json:
    body: Json = {"index": one.index, "message": message(one.message), "finish_reason": one.finish_reason}
    if one.logprobs:
        body["logprobs"] = one.logprobs
    return body


def message(said: Message) -> Json:
    body: Json = {"role": said.role, "content": said.content}
    if said.tool_calls:
        body["tool_calls"] = said.tool_calls
    if said.reasoning_content:
        body["reasoning_content"] = said.reasoning_content
    if said.refusal:
        body["refusal"] = said.refusal
    return body


def usage(used: Usage) -> Json:
    """OpenAI's field names; `estimated` where the model's service did not count."""
    body: Json = {
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.completion_tokens,
        "total_tokens": used.prompt_tokens + used.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": used.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": used.reasoning_tokens},
    }
    if used.estimated:
        body["estimated"] = True
    return body
