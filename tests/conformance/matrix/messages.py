"""Anthropic's Messages format in the matrix."""

from __future__ import annotations

import json
from typing import Any

from tests.conformance.matrix.features import Got, Json
from tests.conformance.matrix.formats import WireFormat

REASONS = {"end_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls", "refusal": "content_filter"}
CHOICES = {"none": "none", "auto": "auto", "required": "any"}


class Messages(WireFormat):
    name = "Anthropic Messages"
    route = "/v1/messages"
    absent = frozenset(
        {
            "developer", "seed", "penalties", "logit_bias", "n", "logprobs", "tool_choice: allowed_tools", "audio in",
            "json_object",
        }
    )  # fmt: skip

    def body(self, asked: Json, messages: list[Json], stream: bool) -> Json:
        system = [message["content"] for message in messages if message["role"] == "system"]
        said = [message_of(message) for message in messages if message["role"] != "system"]
        body: Json = {"max_tokens": asked.get("max_tokens", 64), "messages": said}
        body |= {key: asked[key] for key in ("temperature", "top_p") if key in asked}
        config: Json = {}
        if system:
            body["system"] = system[0]
        if "stop" in asked:
            body["stop_sequences"] = asked["stop"]
        if "tools" in asked:
            functions = [tool["function"] for tool in asked["tools"]]
            body["tools"] = [{"name": each["name"], "input_schema": each["parameters"]} for each in functions]
        if "tool_choice" in asked:
            body["tool_choice"] = _choice(asked["tool_choice"])
        if asked.get("parallel_tool_calls") is False:
            body["tool_choice"] = {"type": "auto", "disable_parallel_tool_use": True}
        if "reasoning_effort" in asked:
            config["effort"] = asked["reasoning_effort"]
        if "response_format" in asked:
            config["format"] = {"type": "json_schema", "schema": asked["response_format"]["json_schema"]["schema"]}
        if config:
            body["output_config"] = config
        return {**body, "stream": True} if stream else body

    def refused(self, got: Got, error: Json) -> None:
        got.code, got.param = error["code"], error.get("param")
        got.overflow = error["message"].startswith("prompt is too long: ")

    def whole(self, got: Got, message: Json) -> None:
        said = got.choice()
        for block in message["content"]:
            if block["type"] == "text":
                said.text += block["text"]
            elif block["type"] == "thinking":
                said.reasoning += block["thinking"]
            elif block["type"] == "tool_use":
                said.calls.append(_call(block["id"], block["name"], json.dumps(block["input"])))
        said.finish = REASONS[message["stop_reason"]]
        got.usage = (message["usage"]["input_tokens"], message["usage"]["output_tokens"])

    def chunk(self, got: Got, event: Json) -> None:
        said = got.choice()
        match event:
            case {"type": "content_block_start", "content_block": {"type": "tool_use", "id": made, "name": name}}:
                said.calls.append(_call(made, name, ""))
            case {"type": "content_block_delta", "delta": {"type": "text_delta", "text": text}}:
                said.text += text
                got.pieces += 1
            case {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": text}}:
                said.reasoning += text
            case {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": text}}:
                said.calls[-1]["function"]["arguments"] += text
            case {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}:
                said.finish = REASONS[reason]
                got.usage = (usage["input_tokens"], usage["output_tokens"])
            case {"type": "error", "error": error}:
                self.refused(got, error)


def _call(made: str, name: str, arguments: str) -> Json:
    return {"id": made, "type": "function", "function": {"name": name, "arguments": arguments}}


def message_of(message: Json) -> Json:
    content = message["content"]
    if message["role"] == "tool":
        result = {"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": content}
        return {"role": "user", "content": [result]}
    if "tool_calls" in message:
        content = [
            {
                "type": "tool_use",
                "id": call["id"],
                "name": call["function"]["name"],
                "input": json.loads(call["function"]["arguments"]),
            }
            for call in message["tool_calls"]
        ]
    elif isinstance(content, list):
        content = [_part(part) for part in content]
    return {"role": message["role"], "content": content}


def _part(part: Json) -> Json:
    if part["type"] == "image_url":
        return {"type": "image", "source": _source(part["image_url"]["url"])}
    if part["type"] == "file":
        return {"type": "document", "source": _source(part["file"]["file_data"])}
    return part


def _source(address: str) -> Json:
    if not address.startswith("data:"):
        return {"type": "url", "url": address}
    kind, _, data = address.removeprefix("data:").partition(";base64,")
    return {"type": "base64", "media_type": kind, "data": data}


def _choice(choice: Any) -> Json:
    if isinstance(choice, str):
        return {"type": CHOICES[choice]}
    return {"type": "tool", "name": choice["function"]["name"]}
