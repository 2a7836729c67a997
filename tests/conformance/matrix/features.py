"""What a client may want, in OpenAI's words, and what it should get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.conformance.adapters import IMAGES, TOOL, TOOL_CALL, Answer, parsed

Json = dict[str, Any]

OTHER: Json = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}
NAMED = {"type": "function", "function": {"name": "weather"}}
ALLOWED = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [NAMED]}}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
JSON_SCHEMA = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA, "strict": True}}
SECOND = {**TOOL_CALL, "id": "call_2"}
PDF = "data:application/pdf;base64,JVBERi0xLjQ="
SOUND = {"data": "UklGRg==", "format": "wav"}
HI = [{"role": "user", "content": "Hi"}]
RESULTS = [
    {"role": "user", "content": "Weather?"},
    {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL, SECOND]},
    {"role": "tool", "content": "Regen", "tool_call_id": "call_1"},
    {"role": "tool", "content": "晴", "tool_call_id": "call_2"},
]


@dataclass
class Said:
    """One choice, as a client put it together."""

    text: str = ""
    reasoning: str = ""
    calls: list[Json] = field(default_factory=list)
    finish: str | None = None
    logprobs: list[Json] = field(default_factory=list)


@dataclass
class Got:
    """What a client got. `status` None: the protocol has none. `overflow`: it was told in its format's own way that the
    conversation is too long. `pieces` of text came one after the other."""

    status: int | None = 200
    code: str | None = None
    param: str | None = None
    overflow: bool = False
    choices: dict[int, Said] = field(default_factory=dict)
    pieces: int = 0
    usage: tuple[int, int] | None = None

    @property
    def said(self) -> Said:
        return self.choices.get(0) or Said()

    def choice(self, index: int = 0) -> Said:
        return self.choices.setdefault(index, Said())


Judge = Callable[[Got], bool]


@dataclass(frozen=True)
class Feature:
    """`asked` are fields of OpenAI's body beside `messages`. `fails`: the status the client should see."""

    name: str
    judge: Judge
    asked: Json = field(default_factory=dict)
    messages: list[Json] = field(default_factory=lambda: HI)
    answer: Answer = Answer()
    streams: tuple[bool, ...] = (False, True)
    fails: int = 0
    leaves: bool = False  # the client hangs up in the middle of the answer


def _text(got: Got) -> bool:
    return got.said.text == Answer().text and got.said.finish == "stop"


def _calls(*expected: Json) -> Judge:
    def judge(got: Got) -> bool:
        return [parsed(call) for call in got.said.calls] == [parsed(call) for call in expected] and (
            got.said.finish == "tool_calls"
        )

    return judge


def _failed(got: Got) -> bool:
    return got.code is not None and not got.said.finish


def _user(*parts: Json) -> list[Json]:
    return [{"role": "user", "content": [{"type": "text", "text": "What?"}, *parts]}]


def _image(url: str) -> Json:
    return {"type": "image_url", "image_url": {"url": url}}


CALLED = Answer(pieces=(), tool_calls=(TOOL_CALL,), finish="tool_calls")
TWICE = Answer(pieces=(), tool_calls=(TOOL_CALL, SECOND), finish="tool_calls")
TOOLS = {"tools": [TOOL]}
BOTH = {"tools": [TOOL, OTHER]}

FEATURES = [
    Feature("text", _text, streams=(False,)),
    Feature("stream", lambda got: _text(got) and got.pieces == len(Answer().pieces), streams=(True,)),
    Feature("system", _text, messages=[{"role": "system", "content": "Be brief."}, *HI]),
    Feature("developer", _text, messages=[{"role": "developer", "content": "Be brief."}, *HI]),
    Feature("temperature, max_tokens, top_p", _text, {"temperature": 0.5, "max_tokens": 7, "top_p": 0.9}),
    Feature("stop", _text, {"stop": ["END"]}),
    Feature("seed", _text, {"seed": 7}),
    Feature("penalties", _text, {"presence_penalty": 0.5, "frequency_penalty": 0.5}),
    Feature("logit_bias", _text, {"logit_bias": {"50256": -100}}),
    Feature("n", lambda got: [got.choices[index].text for index in sorted(got.choices)] == ["one", "two"], {"n": 2}),
    Feature(
        "logprobs",
        lambda got: [entry["token"] for entry in got.said.logprobs] == ["a"] and got.said.text == "a",
        {"logprobs": True, "top_logprobs": 2},
    ),
    Feature("tools", _calls(TOOL_CALL), TOOLS, answer=CALLED),
    Feature("parallel calls", _calls(TOOL_CALL, SECOND), TOOLS, answer=TWICE),
    Feature("parallel_tool_calls: false", _calls(TOOL_CALL), {**TOOLS, "parallel_tool_calls": False}, answer=CALLED),
    Feature("results of tools", _text, TOOLS, RESULTS),
    Feature("tool_choice: none", _text, {**TOOLS, "tool_choice": "none"}),
    Feature("tool_choice: required", _calls(TOOL_CALL), {**TOOLS, "tool_choice": "required"}, answer=CALLED),
    Feature("tool_choice: a function", _calls(TOOL_CALL), {**BOTH, "tool_choice": NAMED}, answer=CALLED),
    Feature("tool_choice: allowed_tools", _calls(TOOL_CALL), {**BOTH, "tool_choice": ALLOWED}, answer=CALLED),
    Feature("image, inline", _text, messages=_user(_image(IMAGES[0]))),
    Feature("image, by address", _text, messages=_user(_image(IMAGES[1]))),
    Feature("file (PDF)", _text, messages=_user({"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}})),
    Feature("audio in", _text, messages=_user({"type": "input_audio", "input_audio": SOUND})),
    Feature("reasoning", lambda got: _text(got) and got.said.reasoning == "Erst",
            answer=Answer(reasoning=("Er", "st"))),
    Feature("reasoning_effort", _text, {"reasoning_effort": "low"}),
    Feature("json_schema", _text, {"response_format": JSON_SCHEMA}),
    Feature("json_object", _text, {"response_format": {"type": "json_object"}}),
    Feature("usage", lambda got: got.usage == (7, 2)),
    Feature("finish: length", lambda got: got.said.finish == "length", answer=Answer(finish="length")),
    Feature("finish: content_filter", lambda got: got.said.finish == "content_filter",
            answer=Answer(finish="content_filter")),
    Feature("error: asked to wait", _failed, answer=Answer(failure="busy"), fails=429),
    Feature("error: rejected", _failed, answer=Answer(failure="rejected"), fails=400),
    Feature("error: wrong key of ours", _failed, answer=Answer(failure="key"), fails=502),
    Feature("error: too late", _failed, answer=Answer(failure="late"), fails=504),
    Feature("error in mid-stream", lambda got: got.code is not None and got.said.text == Answer().text,
            answer=Answer(breaks=True), streams=(True,)),
    Feature("context overflow", lambda got: got.overflow, answer=Answer(failure="long"), fails=400),
    Feature("cancellation", lambda got: True, answer=Answer(hangs=True), streams=(True,), leaves=True),
]  # fmt: skip
