"""The doubles of the vendors' services, and how each should be told what is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.adapters import gemini_wire, ollama_wire
from tests.adapters import upstream as wire
from tests.adapters.test_anthropic_conformance import TestAnthropicConformance
from tests.adapters.test_bedrock_conformance import TestBedrockConformance
from tests.adapters.test_gemini_conformance import TestGeminiConformance
from tests.adapters.test_ollama_conformance import TestOllamaConformance
from tests.adapters.test_openai_completions import TestTextCompletions
from tests.adapters.test_openai_conformance import TestOpenAIConformance
from tests.conformance.adapters import AdapterConformance
from tests.conformance.matrix.features import ALLOWED, NAMED, OTHER, PDF, SCHEMA, SOUND, TOOL, Json

Told = Callable[[Json], bool]


@dataclass(frozen=True)
class Vendor:
    """`told` looks at what the service was sent, `notes` say what becomes of a feature that is not carried as it is,
    `scripts` are answers that `Answer` has no words for: plain and streamed. What a service cannot say is `mute`."""

    name: str
    suite: type[AdapterConformance]
    told: dict[str, Told]
    notes: dict[str, str] = field(default_factory=dict)
    scripts: dict[str, list[list[Any]]] = field(default_factory=dict)
    by: Callable[[wire.Request], int] = wire.by_stream
    mute: frozenset[str] = frozenset()


def _has(**fields: Any) -> Told:
    return lambda body: {key: body.get(key) for key in fields} == fields


def _within(path: str, **fields: Any) -> Told:
    def told(body: Json) -> bool:
        for key in path.split("."):
            body = body.get(key) or {}
        return {key: body.get(key) for key in fields} == fields

    return told


def _said(text: str) -> Told:
    """Somewhere, word for word."""
    return lambda body: text in repr(body)


WISH = "dropped: a wish, which promises nothing in OpenAI's own words either"
FIRST = "of several calls the first is passed on; the model asks again for the others"
SHOWN = "the model is shown the allowed tools only"
TOKEN = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}

# OpenAI's chat format -----------------------------------------------------------------------------------------------

_LOGPROBS = {"content": [TOKEN], "refusal": None}
_CHOICES = [
    {"index": at, "message": {"content": text}, "finish_reason": "stop"} for at, text in enumerate(("one", "two"))
]

OPENAI = Vendor(
    "openai_compatible",
    TestOpenAIConformance,
    told={
        "system": _has(messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]),
        "developer": _has(messages=[{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi"}]),
        "temperature, max_tokens, top_p": _has(temperature=0.5, max_tokens=7, top_p=0.9),
        "stop": _has(stop=["END"]),
        "seed": _has(seed=7),
        "penalties": _has(presence_penalty=0.5, frequency_penalty=0.5),
        "logit_bias": _has(logit_bias={"50256": -100}),
        "n": _has(n=2),
        "logprobs": _has(logprobs=True, top_logprobs=2),
        "parallel_tool_calls: false": _has(parallel_tool_calls=False),
        "tool_choice: none": _has(tool_choice="none"),
        "tool_choice: required": _has(tool_choice="required"),
        "tool_choice: a function": _has(tool_choice=NAMED, tools=[TOOL, OTHER]),
        "tool_choice: allowed_tools": _has(tool_choice=ALLOWED, tools=[TOOL, OTHER]),
        "file (PDF)": _said(PDF),
        "audio in": _said(repr(SOUND)),
        "reasoning_effort": _has(reasoning_effort="low"),
        "json_schema": _within("response_format.json_schema", schema=SCHEMA, strict=True),
        "json_object": _has(response_format={"type": "json_object"}),
    },
    scripts={
        "n": [
            wire.answer(200, {**wire.message_object(), "choices": _CHOICES}),
            wire.streamed(
                [wire.chunk({"content": "one"}), wire.chunk({"content": "two"}, index=1), wire.chunk({}, "stop"),
                 wire.chunk({}, "stop", index=1), wire.DONE]
            ),
        ],
        "logprobs": [
            wire.answer(200, {**wire.message_object(), "choices": [
                {"index": 0, "message": {"content": "a"}, "finish_reason": "stop", "logprobs": _LOGPROBS}]}),
            wire.streamed([wire.chunk({"content": "a"}, logprobs=_LOGPROBS), wire.chunk({}, "stop"), wire.DONE]),
        ],
    },
)  # fmt: skip


def _texts(stream: bool) -> list[Any]:
    said = [
        {"index": at, "text": text, "finish_reason": None if stream else "stop"}
        for at, text in enumerate(("one", "two"))
    ]
    body: Json = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m"}
    if not stream:
        return wire.answer(200, {**body, "choices": said})
    ends = [{"index": at, "text": "", "finish_reason": "stop"} for at in (0, 1)]
    return wire.streamed([*(wire.event({**body, "choices": [one]}) for one in [*said, *ends]), wire.DONE])


COMPLETIONS = Vendor(
    "openai_completions",
    TestTextCompletions,
    told={
        "text": _said("User: Hi"),
        "system": _said("Be brief."),
        "developer": _said("Be brief."),
        "temperature, max_tokens, top_p": _has(temperature=0.5, max_tokens=7, top_p=0.9),
        "stop": lambda body: "END" in body["stop"],
        "seed": _has(seed=7),
        "penalties": _has(presence_penalty=0.5, frequency_penalty=0.5),
        "logit_bias": _has(logit_bias={"50256": -100}),
        "n": _has(n=2),
        "reasoning_effort": lambda body: "reasoning_effort" not in body,
    },
    notes={
        "system": "written at the head of the prompt",
        "developer": "written at the head of the prompt",
        "reasoning_effort": "dropped: models of this kind do not reason",
    },
    scripts={"n": [_texts(False), _texts(True)]},
    mute=frozenset({"reasoning", "finish: content_filter"}),
)

# Anthropic ------------------------------------------------------------------------------------------------------------

ANTHROPIC = Vendor(
    "anthropic_messages",
    TestAnthropicConformance,
    told={
        "system": _has(system=[{"type": "text", "text": "Be brief."}]),
        "developer": _has(system=[{"type": "text", "text": "Be brief."}]),
        "temperature, max_tokens, top_p": _has(temperature=0.5, max_tokens=7, top_p=0.9),
        "stop": _has(stop_sequences=["END"]),
        "seed": lambda body: "seed" not in body,
        "parallel_tool_calls: false": _within("tool_choice", disable_parallel_tool_use=True),
        "tool_choice: none": _has(tool_choice={"type": "none"}),
        "tool_choice: required": _has(tool_choice={"type": "any"}),
        "tool_choice: a function": _has(tool_choice={"type": "tool", "name": "weather"}),
        "tool_choice: allowed_tools": lambda body: (
            body["tool_choice"] == {"type": "any"} and [tool["name"] for tool in body["tools"]] == ["weather"]
        ),
        "file (PDF)": _said(PDF.rpartition(",")[2]),
        "reasoning_effort": _within("output_config", effort="low"),
        "json_schema": _within("output_config.format", type="json_schema", schema=SCHEMA),
    },
    notes={
        "developer": "a system message",
        "seed": WISH,
        "tool_choice: allowed_tools": SHOWN,
        "reasoning_effort": "thinking of the model's own judgement; other ways: adapters.md",
    },
)

# Bedrock --------------------------------------------------------------------------------------------------------------

BEDROCK = Vendor(
    "bedrock_converse",
    TestBedrockConformance,
    told={
        "system": _has(system=[{"text": "Be brief."}]),
        "developer": _has(system=[{"text": "Be brief."}]),
        "temperature, max_tokens, top_p": _within("inferenceConfig", temperature=0.5, maxTokens=7, topP=0.9),
        "stop": _within("inferenceConfig", stopSequences=["END"]),
        "seed": lambda body: "seed" not in repr(body),
        "parallel_tool_calls: false": lambda body: "parallel" not in repr(body),
        "tool_choice: none": lambda body: "toolConfig" not in body,
        "tool_choice: required": _within("toolConfig", toolChoice={"any": {}}),
        "tool_choice: a function": _within("toolConfig", toolChoice={"tool": {"name": "weather"}}),
        "tool_choice: allowed_tools": lambda body: (
            body["toolConfig"]["toolChoice"] == {"any": {}} and "clock" not in repr(body)
        ),
        "file (PDF)": _said(PDF.rpartition(",")[2]),
        "audio in": _said(SOUND["data"]),
        "reasoning_effort": _within("outputConfig", effort="low"),
        "json_schema": _within("outputConfig.textFormat", type="json_schema"),
    },
    notes={
        "developer": "a system message",
        "seed": WISH,
        "parallel_tool_calls: false": FIRST,
        "tool_choice: none": "the model is shown no tools",
        "tool_choice: allowed_tools": SHOWN,
    },
    by=lambda request: 1 if request.path.endswith("/converse-stream") else 0,
)

# Gemini ---------------------------------------------------------------------------------------------------------------

_CHOSEN = {"logprobsResult": {"chosenCandidates": [{"token": "a", "logProbability": -0.5}], "topCandidates": []}}
_TWO = {
    "candidates": [
        {"index": at, "content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP"}
        for at, text in enumerate(("one", "two"))
    ]
}

GEMINI = Vendor(
    "gemini_generate",
    TestGeminiConformance,
    told={
        "system": _has(systemInstruction={"parts": [{"text": "Be brief."}]}),
        "developer": _has(systemInstruction={"parts": [{"text": "Be brief."}]}),
        "temperature, max_tokens, top_p": _within("generationConfig", temperature=0.5, maxOutputTokens=7, topP=0.9),
        "stop": _within("generationConfig", stopSequences=["END"]),
        "seed": _within("generationConfig", seed=7),
        "penalties": _within("generationConfig", presencePenalty=0.5, frequencyPenalty=0.5),
        "n": _within("generationConfig", candidateCount=2),
        "logprobs": _within("generationConfig", responseLogprobs=True, logprobs=2),
        "parallel_tool_calls: false": lambda body: "parallel" not in repr(body),
        "tool_choice: none": _within("toolConfig.functionCallingConfig", mode="NONE"),
        "tool_choice: required": _within("toolConfig.functionCallingConfig", mode="ANY"),
        "tool_choice: a function": _within(
            "toolConfig.functionCallingConfig", mode="ANY", allowedFunctionNames=["weather"]
        ),
        "tool_choice: allowed_tools": _within(
            "toolConfig.functionCallingConfig", mode="ANY", allowedFunctionNames=["weather"]
        ),
        "file (PDF)": _said(PDF.rpartition(",")[2]),
        "audio in": _said(SOUND["data"]),
        "reasoning_effort": _within("generationConfig.thinkingConfig", includeThoughts=True),
        "json_schema": _within("generationConfig", responseMimeType="application/json"),
        "json_object": _within("generationConfig", responseMimeType="application/json"),
    },
    notes={
        "developer": "a system message",
        "parallel_tool_calls: false": FIRST,
        "reasoning_effort": "a level or a budget of thinking, by the model's name",
    },
    scripts={
        "n": [wire.answer(200, _TWO), wire.streamed([wire.event(_TWO)])],
        "logprobs": [
            wire.answer(200, gemini_wire.body({"text": "a"}, finish="STOP", more=_CHOSEN)),
            wire.streamed([gemini_wire.event({"text": "a"}, finish="STOP", more=_CHOSEN)]),
        ],
    },
    by=gemini_wire.by_verb,
)

# Ollama ---------------------------------------------------------------------------------------------------------------

OLLAMA = Vendor(
    "ollama_chat",
    TestOllamaConformance,
    told={
        "system": lambda body: body["messages"][0] == {"role": "system", "content": "Be brief."},
        "developer": lambda body: body["messages"][0] == {"role": "system", "content": "Be brief."},
        "temperature, max_tokens, top_p": _within("options", temperature=0.5, num_predict=7, top_p=0.9),
        "stop": _within("options", stop=["END"]),
        "seed": _within("options", seed=7),
        "penalties": _within("options", presence_penalty=0.5, frequency_penalty=0.5),
        "logprobs": _has(logprobs=True, top_logprobs=2),
        "parallel_tool_calls: false": lambda body: "parallel" not in repr(body),
        "tool_choice: none": lambda body: "tools" not in body,
        "reasoning_effort": _has(think="low"),
        "json_schema": _has(format=SCHEMA),
        "json_object": _has(format="json"),
    },
    notes={
        "developer": "a system message",
        "parallel_tool_calls: false": FIRST,
        "tool_choice: none": "the model is shown no tools",
    },
    scripts={
        "logprobs": [
            wire.answer(200, ollama_wire.last(message={"content": "a"}, logprobs=[TOKEN])),
            ollama_wire.streamed(ollama_wire.piece("a", logprobs=[TOKEN]), ollama_wire.last()),
        ],
    },
    mute=frozenset({"finish: content_filter"}),
)

VENDORS = [OPENAI, ANTHROPIC, GEMINI, BEDROCK, OLLAMA, COMPLETIONS]
