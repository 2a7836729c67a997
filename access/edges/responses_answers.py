"""The object of OpenAI's Responses API, from a turn that begins, ends, or is on record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Self

from access.edges import responses_items as items
from engine.entries import Completion, Intent
from engine.types import ChatRequest, Choice, Done, Json, Message, Usage

INCOMPLETE: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}  # by finish reason
DEFAULTS: Final[Json] = {
    "metadata": {},
    "previous_response_id": None,
    "conversation": None,
    "temperature": None,
    "top_p": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "top_logprobs": 0,
    "truncation": "disabled",
    "parallel_tool_calls": True,
    "service_tier": None,
    "user": None,
    "safety_identifier": None,
    "prompt_cache_key": None,
    "store": True,
    "tool_choice": "auto",
}
BUSY: Final = frozenset({"rate_limited", "budget_exceeded", "upstream_rate_limited"})


class Frame(NamedTuple):
    """What an answer repeats of its request."""

    echo: Json
    params: Json
    tools: Sequence[Json]
    instructions: str | None

    @classmethod
    def of(cls, request: ChatRequest) -> Self:
        return cls(request.echo, request.params, request.tools or (), _instructions(request.messages))

    @classmethod
    def recorded(cls, intent: Intent) -> Self:
        return cls(intent.echo, intent.params, intent.params.get("tools") or (), _instructions(intent.messages))

    @property
    def summary(self) -> bool:
        """Whether reasoning is to be where summaries of it are."""
        reasoning = self.echo.get("reasoning") or {}
        return bool(reasoning.get("summary") or reasoning.get("generate_summary"))


def response_id(turn_id: str) -> str:
    return f"resp_{turn_id}"


def begun(turn_id: str, model: str, frame: Frame) -> Json:
    """The response `in_progress`, without any output."""
    reasoning = frame.echo.get("reasoning") or {}
    summary = reasoning.get("summary") or reasoning.get("generate_summary")
    told = {name: frame.echo.get(name, default) for name, default in DEFAULTS.items()}
    return {
        "id": response_id(turn_id),
        "object": "response",
        "created_at": created_at(turn_id),
        "status": "in_progress",
        "background": False,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "instructions": frame.instructions,
        "model": model,
        "output": [],
        "reasoning": {"effort": frame.params.get("reasoning_effort"), "summary": summary},
        "text": _text(frame.params),
        "tools": [_tool(tool["function"]) for tool in frame.tools],
        "usage": None,
        **told,
    }


def created_at(turn_id: str) -> int:
    """In Unix seconds: a turn's id begins with its milliseconds."""
    return int(turn_id[:12], 16) // 1000


def status_of(finish_reason: str) -> str:
    return "incomplete" if finish_reason in INCOMPLETE else "completed"


def ended(response: Json, finish_reason: str, output: list[Json], used: Usage, at: float) -> Json:
    """The same response with its answer."""
    reason = INCOMPLETE.get(finish_reason)
    return {
        **response,
        "status": status_of(finish_reason),
        "incomplete_details": {"reason": reason} if reason is not None else None,
        "completed_at": int(at) if reason is None else None,
        "output": output,
        "usage": usage(used),
    }


def whole(turn_id: str, frame: Frame, completion: Done | Completion, at: float) -> Json:
    """A response that is answered. `at`: when it was, in Unix seconds."""
    choice, response = completion.choices[0], begun(turn_id, completion.model, frame)
    used, said = completion.usage, completion.plugins if isinstance(completion, Completion) else completion.metadata
    if isinstance(completion, Completion):
        used += completion.rounds
    answer = ended(response, choice.finish_reason, output_of(turn_id, frame, choice), used, at)
    return {**answer, "clawdbot": {"plugins": said}} if said else answer


def output_of(turn_id: str, frame: Frame, choice: Choice) -> list[Json]:
    status = status_of(choice.finish_reason)
    return items.output_items(choice.message, turn_id, status=status, summary=frame.summary, logprobs=choice.logprobs)


def failed(response: Json, code: str, message: str, output: list[Json]) -> Json:
    """`code` is one of our errors'; the answer has the nearest one of those this format has."""
    known = "rate_limit_exceeded" if code in BUSY else "server_error"
    return {**response, "status": "failed", "error": {"code": known, "message": message}, "output": output}


def usage(used: Usage) -> Json:
    return {
        "input_tokens": used.prompt_tokens,
        "input_tokens_details": {"cached_tokens": used.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": used.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": used.reasoning_tokens},
        "total_tokens": used.total_tokens,
    }


def _instructions(messages: Sequence[Message]) -> str | None:
    first = messages[0] if messages else None
    return first.content if first is not None and first.passing and isinstance(first.content, str) else None


def _text(params: Json) -> Json:
    wanted = params.get("response_format") or {"type": "text"}
    kind = wanted["type"]
    text: Json = {"format": {"type": kind, **(wanted.get(kind) or {})}}
    if "verbosity" in params:
        text["verbosity"] = params["verbosity"]
    return text


def _tool(function: dict[str, Any]) -> Json:
    absent = {"description": None, "parameters": None, "strict": None}
    return {"type": "function", **absent, **function}
