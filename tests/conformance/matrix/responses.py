"""OpenAI's Responses API in the matrix."""

from __future__ import annotations

from typing import Any

from tests.conformance.matrix.features import Got, Json
from tests.conformance.matrix.formats import WireFormat

INCOMPLETE = {"max_output_tokens": "length", "content_filter": "content_filter"}
PLAIN = ("temperature", "top_p", "top_logprobs", "parallel_tool_calls")


class Responses(WireFormat):
    name = "OpenAI Responses"
    route = "/v1/responses"
    absent = frozenset({"stop", "seed", "penalties", "logit_bias", "n"})
    notes = {"tool_choice: allowed_tools": "the model is shown the allowed tools only, whatever its service"}
    told = {"tool_choice: allowed_tools": lambda sent: "weather" in repr(sent) and "clock" not in repr(sent)}

    def body(self, asked: Json, messages: list[Json], stream: bool) -> Json:
        items = [item for message in messages for item in _items(message)]
        body: Json = {"input": items, "store": False, **{key: asked[key] for key in PLAIN if key in asked}}
        if "max_tokens" in asked:
            body["max_output_tokens"] = asked["max_tokens"]
        if "logprobs" in asked:
            body["include"] = ["message.output_text.logprobs"]
        if "tools" in asked:
            body["tools"] = [{"type": "function", **tool["function"]} for tool in asked["tools"]]
        if "tool_choice" in asked:
            body["tool_choice"] = _choice(asked["tool_choice"])
        if "reasoning_effort" in asked:
            body["reasoning"] = {"effort": asked["reasoning_effort"]}
        if "response_format" in asked:
            kind = asked["response_format"]["type"]
            body["text"] = {"format": {"type": kind, **asked["response_format"].get(kind, {})}}
        return {**body, "stream": True} if stream else body

    def chunk(self, got: Got, event: Json) -> None:
        match event["type"]:
            case "response.output_text.delta":
                got.pieces += 1
                got.choice().text += event["delta"]
            case "error":
                self.refused(got, event)
            case "response.completed" | "response.incomplete":
                self.whole(got, event["response"])

    def whole(self, got: Got, response: Json) -> None:
        said = got.choice()
        said.text = ""
        for item in response["output"]:
            if item["type"] == "reasoning":
                said.reasoning += "".join(part["text"] for part in [*item.get("content", []), *item["summary"]])
            elif item["type"] == "function_call":
                function = {"name": item["name"], "arguments": item["arguments"]}
                said.calls.append({"id": item["call_id"], "type": "function", "function": function})
            else:
                for part in item["content"]:
                    said.text += part["text"]
                    said.logprobs += part.get("logprobs") or []
        details = response["incomplete_details"]
        ended = "tool_calls" if said.calls else "stop"
        said.finish = INCOMPLETE[details["reason"]] if details else ended
        got.usage = (response["usage"]["input_tokens"], response["usage"]["output_tokens"])


def _items(message: Json) -> list[Json]:
    if message["role"] == "tool":
        return [{"type": "function_call_output", "call_id": message["tool_call_id"], "output": message["content"]}]
    if "tool_calls" in message:
        return [{"type": "function_call", "call_id": call["id"], **call["function"]} for call in message["tool_calls"]]
    content = message["content"]
    if isinstance(content, list):
        content = [_part(part) for part in content]
    return [{"role": message["role"], "content": content}]


def _part(part: Json) -> Json:
    match part["type"]:
        case "text":
            return {"type": "input_text", "text": part["text"]}
        case "image_url":
            return {"type": "input_image", "image_url": part["image_url"]["url"]}
        case "file":
            return {"type": "input_file", **part["file"]}
    return part


def _choice(choice: Any) -> Any:
    if isinstance(choice, str):
        return choice
    if choice["type"] == "function":
        return {"type": "function", "name": choice["function"]["name"]}
    allowed = choice["allowed_tools"]
    return {"type": "allowed_tools", "mode": allowed["mode"], "tools": [_choice(tool) for tool in allowed["tools"]]}
