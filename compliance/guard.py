"""The guard of a turn: sensitive words in what goes to the model and in what comes back.

It implements `engine.ports.Guard`. Everything it reads is in one immutable `GuardTable`, compiled by
`compliance.wordlists.compile_guard` and swapped whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from compliance.holdback import Channel, masked
from compliance.logprobs import safe_logprobs
from compliance.normalising import normalise
from compliance.texts import rewrite_message, rewrite_texts
from compliance.words import WordMatcher
from engine.ports import OutputGuard
from engine.snapshots import Cell
from engine.types import Delta, Json, Message, Principal, Verdict


class TenantWords(msgspec.Struct, frozen=True):
    """A tenant's words for either direction; None: it has none. `lists`: the (id, version) they were compiled from."""

    lists: tuple[tuple[int, int], ...]
    input: WordMatcher | None = None
    output: WordMatcher | None = None


class GuardTable(msgspec.Struct, frozen=True):
    """The words of every tenant that has lists."""

    tenants: dict[int, TenantWords] = {}


class WordGuard:
    """The sensitive-word lists of whoever is calling, applied to a turn."""

    def __init__(self, cell: Cell[GuardTable]) -> None:
        self._cell = cell
        self._open = OpenOutput()

    def input(self, principal: Principal, messages: Sequence[Message]) -> tuple[Sequence[Message], list[Verdict]]:
        """The messages, masked where a list says so (the same object where none does), and what was found in them."""
        tenant = self._cell.value.tenants.get(principal.tenant_id)
        if tenant is None or tenant.input is None:
            return messages, []
        findings = Findings(tenant.input, "input")
        rewritten = [rewrite_message(message, findings.whole) for message in messages]
        changed = any(new is not old for new, old in zip(rewritten, messages, strict=True))
        return (rewritten if changed else messages), findings.verdicts

    def output(self, principal: Principal) -> OutputGuard:
        tenant = self._cell.value.tenants.get(principal.tenant_id)
        if tenant is None or tenant.output is None:
            return self._open
        return WordOutput(tenant.output)


class Findings:
    """The verdicts of one direction of a turn; each word is reported once a list."""

    __slots__ = ("_reported", "_where", "_words", "blocking", "verdicts")

    def __init__(self, words: WordMatcher, where: str) -> None:
        self.verdicts: list[Verdict] = []
        self.blocking = False
        self._words = words
        self._where = where
        self._reported: set[int] = set()

    def add(self, found: Sequence[int]) -> None:
        for place in found:
            if place not in self._reported:
                self._reported.add(place)
                word, entry = self._words.words[place], self._words.entries[place]
                self.blocking = self.blocking or entry.block
                self.verdicts.extend(
                    Verdict(list=rule.name, version=rule.version, word=word, action=rule.action, where=self._where)
                    for rule in entry.rules
                )

    def whole(self, text: str) -> str:
        """A text that is all there, with its masks applied."""
        normal, origins = normalise(text)
        hits = self._words.find(normal)
        if not hits:
            return text
        self.add([hit.word for hit in hits])
        return masked(text, hits, origins, self._words)


class OpenOutput:
    """The output guard of a tenant without words: everything passes. It has no state, so all turns share one."""

    blocked = False

    def __init__(self) -> None:
        self.verdicts: list[Verdict] = []

    def feed(self, delta: Delta) -> Delta | None:
        return delta

    def flush(self) -> list[Delta]:
        return []


class WordOutput:
    """The guard over one answer: a channel for every text of every choice. Once one of them is blocked, nothing more
    leaves on any."""

    __slots__ = ("_channels", "_findings", "_words", "verdicts")

    def __init__(self, words: WordMatcher) -> None:
        self._words = words
        self._findings = Findings(words, "output")
        self.verdicts = self._findings.verdicts
        self._channels: dict[tuple[int, str | int], Channel] = {}

    @property
    def blocked(self) -> bool:
        return self._findings.blocking

    def feed(self, delta: Delta) -> Delta | None:
        if self._findings.blocking:
            return None
        if delta.reasoning is None and delta.tool_calls is None and delta.refusal is None and delta.logprobs is None:
            content = self._push(delta.index, "content", delta.content)
            if content is None:
                return None
            return delta if content == delta.content else Delta(content=content, index=delta.index)
        return self._feed_all(delta)

    def flush(self) -> list[Delta]:
        """What was held back. All channels are decided before any of it leaves: one blocked word keeps everything."""
        if self.blocked:
            return []
        rest: list[Delta] = []
        for (index, kind), channel in self._channels.items():
            text, found = channel.push("", over=True)
            self._findings.add(found)
            if text:
                rest.append(_rest(index, kind, text))
        self._channels.clear()
        return [] if self.blocked else rest

    def _feed_all(self, delta: Delta) -> Delta | None:
        """In the order a model says things: it reasons, answers or refuses, calls tools."""
        index = delta.index
        reasoning = self._push(index, "reasoning", delta.reasoning)
        content = self._push(index, "content", delta.content)
        refusal = self._push(index, "refusal", delta.refusal)
        calls = self._push_calls(index, delta.tool_calls) if delta.tool_calls else None
        logprobs = None
        if delta.logprobs and content == delta.content and refusal == delta.refusal:
            logprobs = safe_logprobs(delta, self._words)
        safe = Delta(
            content=content, reasoning=reasoning, tool_calls=calls, index=index, refusal=refusal, logprobs=logprobs
        )
        return None if safe == Delta(index=index) else safe

    def _push(self, index: int, kind: str | int, piece: str | None) -> str | None:
        """What may leave of a channel; None: nothing. A kind that is a number is a tool call's."""
        if piece is None or self._findings.blocking:
            return None
        if not piece:
            return piece
        channel = self._channels.get((index, kind))
        if channel is None:
            channel = self._channels[(index, kind)] = Channel(self._words)
        text, found = channel.push(piece)
        if found:
            self._findings.add(found)
        return text or None

    def _push_calls(self, index: int, fragments: list[Json]) -> list[Json] | None:
        """Fragments without what is held of their arguments; one that then says nothing is left out."""
        safe: list[Json] = []
        for place, fragment in enumerate(fragments):
            call = fragment.get("index", place)
            function = dict(fragment.get("function") or {})
            piece = function.pop("arguments", None)
            whole: Json = rewrite_texts({**fragment, "function": function}, self._findings.whole)
            arguments = self._push(index, call, piece)
            if self.blocked and not arguments:
                break
            if piece is not None:
                whole["function"] = {**whole["function"], "arguments": arguments or ""}
            if arguments or function or fragment.keys() - {"index", "type", "function"}:
                safe.append(whole)
        return safe or None


def _rest(index: int, kind: str | int, text: str) -> Delta:
    if isinstance(kind, int):
        return Delta(tool_calls=[{"index": kind, "function": {"arguments": text}}], index=index)
    fields: dict[str, Any] = {kind: text}
    return Delta(**fields, index=index)
