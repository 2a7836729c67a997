"""`functions` and `function_call`, the older form of tools in OpenAI's chat format (2023, "deprecated in favor of
`tools`"): translated at the edge, so that nothing behind it knows of two forms. A caller who asks in it is answered in
it: one call at a time, without an id."""

from __future__ import annotations

from typing import Any

from engine.errors import InvalidRequest, NotSupported
from engine.types import Json


def spoken(body: Json) -> bool:
    """Whether a chat body asks in the older form."""
    messages = body.get("messages")
    return bool(body.get("functions") or body.get("function_call")) or any(
        isinstance(message, dict) and (message.get("role") == "function" or message.get("function_call"))
        for message in (messages if isinstance(messages, list) else ())
    )


def translated(body: Json) -> Json:
    """The same with `tools`. Raises InvalidRequest, NotSupported."""
    if body.get("tools") or body.get("tool_choice"):
        raise InvalidRequest("functions: send either functions or tools.", param="functions")
    rest = {key: value for key, value in body.items() if key not in ("functions", "function_call")}
    if body.get("functions"):
        rest["tools"] = _tools(body["functions"])
        rest["parallel_tool_calls"] = False
    if body.get("function_call"):
        rest["tool_choice"] = _choice(body["function_call"])
    if isinstance(body.get("messages"), list):
        rest["messages"] = _messages(body["messages"])
    return rest


def _tools(functions: Any) -> list[Json]:
    if not isinstance(functions, list) or not all(isinstance(function, dict) for function in functions):
        raise InvalidRequest("functions: must be a list of functions.", param="functions")
    return [{"type": "function", "function": function} for function in functions]


def _choice(wanted: Any) -> Any:
    if wanted in ("none", "auto"):
        return wanted
    if not isinstance(wanted, dict) or not isinstance(wanted.get("name"), str):
        raise InvalidRequest("function_call: must be none, auto or an object with a name.", param="function_call")
    return {"type": "function", "function": {"name": wanted["name"]}}


def _messages(messages: list[Any]) -> list[Any]:
    """Every call gets an id, and its result the same."""
    said: list[Any] = []
    called: dict[str, str] = {}  # function: id of its last call
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            said.append(message)
            continue
        rest = {key: value for key, value in message.items() if key != "function_call"}
        if call := message.get("function_call"):
            at = f"messages[{index}].function_call"
            if not isinstance(call, dict) or not isinstance(name := call.get("name"), str):
                raise InvalidRequest(f"{at}: needs name and arguments, both strings.", param=at)
            called[name] = f"call_{index}"
            rest["tool_calls"] = [{"id": called[name], "type": "function", "function": call}]
        elif message.get("role") == "function":
            at = f"messages[{index}].name"
            if not isinstance(name := message.get("name"), str):
                raise InvalidRequest(f"{at}: is missing.", param=at)
            if name not in called:
                raise NotSupported(f"{at}: answers no call before it; with a session send tools.", param=at)
            rest = {**rest, "role": "tool", "tool_call_id": called[name]}
        said.append(rest)
    return said


def answered(said: Json) -> Json:
    """A message, or a delta of one, as who asks in the older form knows it."""
    calls = said.get("tool_calls")
    if not calls:
        return said
    rest = {key: value for key, value in said.items() if key != "tool_calls"}
    first = [call["function"] for call in calls if not call.get("index") and "function" in call]
    return {**rest, "function_call": first[0]} if first else rest


def finished(reason: str | None) -> str | None:
    return "function_call" if reason == "tool_calls" else reason
