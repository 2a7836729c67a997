"""The calls of tools of one answer, as their fragments come: each is a block of its own, and blocks come one after the
other."""

from __future__ import annotations

from typing import Any, Final

import orjson

from access import bodies
from adapters.conversations import INVALID
from engine.errors import InvalidRequest
from engine.types import Json

NOTHING: Final = frozenset({"", "null"})


class ToolCall:
    """`begun`: its block is open or was."""

    __slots__ = ("_arguments", "_told", "begun", "extra", "id", "name")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.extra: Json = {}
        self.begun = False
        self._arguments: list[str] = []
        self._told = 0  # how many of them were handed out

    def add(self, fragment: Json) -> None:
        """A name may be cut too; services that repeat the whole of it in every fragment mean it once."""
        self.id = fragment.get("id") or self.id
        extra = fragment.get("extra_content")
        if isinstance(extra, dict):  # which services may fill as they like
            self.extra.update(extra)
        function = fragment.get("function") or {}
        name = function.get("name")
        if name and name != self.name:
            self.name += name
        if function.get("arguments"):
            self._arguments.append(function["arguments"])

    @property
    def arguing(self) -> bool:
        return bool(self._arguments)

    @property
    def whole(self) -> bool:
        """Whether nothing can follow: its arguments are an object that is closed."""
        if not self._arguments or not self._arguments[-1].rstrip().endswith("}"):
            return False
        return isinstance(_read("".join(self._arguments)), dict)

    def news(self) -> str:
        """Arguments that were not handed out yet. What begins as no object is handed out by `rest`."""
        if not self._told and not "".join(self._arguments).lstrip().startswith("{"):
            return ""
        news = "".join(self._arguments[self._told :])
        self._told = len(self._arguments)
        return news

    def rest(self) -> str:
        """The same at its end."""
        news = self.news()
        if news or self._told:
            return news
        raw = "".join(self._arguments)
        return "" if raw.strip() in NOTHING else orjson.dumps({INVALID: raw}).decode()


def given(arguments: str) -> Json:
    """The input of a call: an object, whatever the model wrote."""
    if not arguments:
        return {}
    read = _read(arguments)
    return read if isinstance(read, dict) else {INVALID: arguments}


def _read(arguments: str) -> Any:
    try:
        value = bodies.loaded(arguments)
        if arguments.count("{") + arguments.count("[") > bodies.MAX_DEPTH:
            orjson.dumps(value)  # it reads deeper than it writes
    except (InvalidRequest, orjson.JSONEncodeError):
        return None
    return value
