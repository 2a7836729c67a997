"""The guard over one tool call of an answer: its name and arguments arrive in fragments, and clients join them."""

from __future__ import annotations

from typing import Final

from compliance.arguments import Arguments
from compliance.findings import Findings
from compliance.holdback import Channel
from compliance.texts import NOT_TEXT, rewrite_tree
from compliance.words import WordMatcher
from engine.types import Json

_ONCE: Final = ("id", "type")


class GuardedCall:
    """One tool call. Its name ends where its arguments begin, and an id and a type are said once: what comes after that
    is left out, since clients would join it to what they have."""

    __slots__ = ("_arguments", "_begun", "_findings", "_index", "_name", "_said", "fresh")

    def __init__(self, index: int, words: WordMatcher, findings: Findings) -> None:
        self._index = index
        self._findings = findings
        self._name = Channel(words)
        self._arguments = Arguments(words)
        self._begun = False
        self._said: set[str] = set()
        self.fresh = 0  # characters of the last fragment

    @property
    def held(self) -> int:
        """How many characters are held back."""
        return self._name.held + self._arguments.held

    def feed(self, fragment: Json) -> Json | None:
        """The fragment without what is held of it; None: then it says nothing."""
        function = dict(fragment.get("function") or {})
        name, arguments = function.pop("name", None), function.pop("arguments", None)
        self.fresh = len(name or "") + len(arguments or "")
        fresh = {key: value for key, value in fragment.items() if key not in self._said and key != "function"}
        self._said.update(key for key in _ONCE if fresh.get(key))
        safe: Json = rewrite_tree(fresh, self._findings, skip=NOT_TEXT)
        texts: Json = rewrite_tree(function, self._findings, skip=NOT_TEXT)
        if self._findings.blocking:
            return None
        said = self._push_name(name or "", over=bool(arguments))
        if said:
            texts = {"name": said, **texts}
        if arguments is not None and not self._findings.blocking:
            texts = {**texts, "arguments": self._push_arguments(arguments)}
        anything = any(texts.values())
        if not anything and (self._findings.blocking or not safe.keys() - {"index", "type"}):
            return None
        return {**safe, "function": texts} if "function" in fragment else safe

    def flush(self) -> Json | None:
        """What was held back; the answer is over."""
        texts = {"name": self._push_name("", over=True), "arguments": self._push_arguments("", over=True)}
        held = {key: text for key, text in texts.items() if text}
        return {"index": self._index, "function": held} if held else None

    def _push_name(self, piece: str, over: bool) -> str:
        if self._begun:
            return ""
        self._begun = over
        text, found = self._name.push(piece, over=over) if piece or over else ("", ())
        self._findings.add(found)
        return text

    def _push_arguments(self, piece: str, over: bool = False) -> str:
        text, found = self._arguments.push(piece, over=over) if piece or over else ("", ())
        self._findings.add(found)
        return text
