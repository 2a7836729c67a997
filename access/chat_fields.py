"""Fields of a chat body that take more than a type: tools and the choice among them, the shape of an answer, and what
OpenAI's format has that nobody behind this gateway could do. What would change the answer and cannot be had is refused
by its name; dropped is only what changes nothing the caller could notice (`docs/api.md` lists both)."""

from __future__ import annotations

from typing import Any, Final

from engine.errors import InvalidRequest, NotSupported
from engine.types import Json

CHOICES: Final = frozenset({"none", "auto", "required"})
ANY: Final = "any"  # Mistral's word for `required`
FORMATS: Final = frozenset({"text", "json_object", "json_schema"})

# Of OpenAI's chat body: what a caller would miss. `null`, `false` and what is empty ask for nothing.
UNKNOWN: Final = {
    "audio": "Answers are text; there is no audio.",
    "moderation": "Answers carry no moderation; word lists are the tenant's own.",
}


def refuse_unknown(body: Json) -> None:
    """Of OpenAI's chat body. Raises NotSupported."""
    for name, why in UNKNOWN.items():
        if body.get(name):
            raise NotSupported(f"{name}: {why}", param=name)
    modalities = body.get("modalities")
    if modalities is not None and modalities != ["text"]:
        raise NotSupported("modalities: answers are text.", param="modalities")


def search(body: Json) -> Json:
    """`web_search_options` as a parameter, where they are asked for: an empty object asks for OpenAI's defaults."""
    wanted = body.get("web_search_options")
    return {} if wanted is None else {"web_search_options": wanted or {"search_context_size": "medium"}}


def tools(given: list[Json] | None) -> list[Json] | None:
    """Functions, with nothing but what belongs to them."""
    for index, tool in enumerate(given or ()):
        at = f"tools[{index}]"
        kind, function = tool.get("type", "function"), tool.get("function")
        if kind != "function":
            raise NotSupported(f"{at}.type: tools are functions, nothing else.", param=f"{at}.type")
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
            raise InvalidRequest(f"{at}.function: needs a name.", param=f"{at}.function")
        if not isinstance(function.get("parameters"), dict | None):
            raise InvalidRequest(f"{at}.function.parameters: must be an object.", param=f"{at}.function.parameters")
    return [{"type": "function", "function": tool["function"]} for tool in given or ()] or None


def check_choice(choice: Any, offered: list[Json] | None) -> None:
    """`tool_choice`: a word, one function, or `allowed_tools`. Raises InvalidRequest, also for a tool that is not
    offered: no model could call it."""
    if choice is None or choice in ("none", "auto"):
        return
    if not offered:
        raise InvalidRequest("tool_choice: there are no tools to choose from.", param="tool_choice")
    if isinstance(choice, str):
        if choice not in CHOICES and choice != ANY:
            raise InvalidRequest(f"tool_choice: must be one of {', '.join(sorted(CHOICES))}.", param="tool_choice")
        return
    kind = choice.get("type")
    if kind == "function":
        named = [choice]
    elif kind == "allowed_tools":
        named = _allowed(choice.get("allowed_tools"))
    else:
        raise NotSupported("tool_choice: tools are functions, nothing else.", param="tool_choice")
    names = {tool["function"]["name"] for tool in offered}
    for one in named:
        function = one.get("function") if isinstance(one, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(name, str) or name not in names:
            raise InvalidRequest("tool_choice: names a function that is not among the tools.", param="tool_choice")


def _allowed(given: Any) -> list[Any]:
    mode, named = (given.get("mode"), given.get("tools")) if isinstance(given, dict) else (None, None)
    if mode not in ("auto", "required") or not isinstance(named, list) or not named:
        raise InvalidRequest("tool_choice: allowed_tools needs a mode and tools.", param="tool_choice")
    return named


def check_format(wanted: Json | None) -> None:
    """`response_format`. Raises InvalidRequest."""
    if wanted is None:
        return
    kind = wanted.get("type")
    if not isinstance(kind, str) or kind not in FORMATS:
        raise InvalidRequest(
            f"response_format.type: must be one of {', '.join(sorted(FORMATS))}.", param="response_format.type"
        )
    if kind != "json_schema":
        return
    said = wanted.get("json_schema")
    if not isinstance(said, dict) or not isinstance(said.get("schema"), dict | None):
        at = "response_format.json_schema"
        raise InvalidRequest(f"{at}: must be an object with a name and a schema.", param=at)
