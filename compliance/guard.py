"""The guard of a turn: sensitive words in what goes to the model and in what comes back.

It implements `engine.ports.Guard`. Everything it reads is in one immutable `GuardTable`, compiled by
`compliance.compiling.compile_guard` and swapped whole."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from operator import is_
from typing import Any, Protocol

import msgspec

from compliance.findings import Findings
from compliance.holdback import Channel
from compliance.logprobs import hides, safe_logprobs
from compliance.texts import FORMAT_KEYS, rewrite_message, rewrite_tree
from compliance.toolcalls import GuardedCall
from compliance.waiting import Waiting
from compliance.words import WordMatcher
from engine.ports import OutputGuard
from engine.snapshots import Cell
from engine.types import ChatRequest, Delta, Json, Message, Principal, Verdict


class TenantWords(msgspec.Struct, frozen=True):
    """A tenant's words for either direction; None: it has none. `lists`: the (id, version, action) they were compiled
    from, `exceptions` the (id, version) of what it lets pass. Tenants in whom these agree share one object."""

    lists: tuple[tuple[int, int, str], ...]
    exceptions: tuple[int, int] | None = None
    input: WordMatcher | None = None
    output: WordMatcher | None = None


class GuardTable(msgspec.Struct, frozen=True):
    """The words of every tenant that has lists of its own choice, and those of all others: the platform's mandatory
    ones. `shared` are large lists of the platform's by id and version, whose automata several tenants' words are."""

    tenants: dict[int, TenantWords] = {}
    default: TenantWords | None = None
    shared: dict[tuple[int, int], WordMatcher] = {}

    def of(self, tenant_id: int) -> TenantWords | None:
        return self.tenants.get(tenant_id, self.default)


class Hits(Protocol):
    """Counts what was found (see `compliance.hits`)."""

    def add(self, tenant_id: int, verdicts: Sequence[Verdict]) -> None: ...


class Uncounted:
    def add(self, tenant_id: int, verdicts: Sequence[Verdict]) -> None:
        pass


class WordGuard:
    """The sensitive-word lists of whoever is calling, applied to a turn."""

    def __init__(self, cell: Cell[GuardTable], hits: Hits | None = None) -> None:
        self._cell = cell
        self._hits: Hits = Uncounted() if hits is None else hits
        self._open = OpenOutput()

    def weight(self, principal: Principal) -> int:
        tenant = self._cell.value.of(principal.tenant_id)
        return 0 if tenant is None or tenant.input is None else tenant.input.weight

    def input(self, principal: Principal, messages: Sequence[Message]) -> tuple[Sequence[Message], list[Verdict]]:
        """The messages, masked where a list says so (the same object where none does), and what was found in them."""
        tenant = self._cell.value.of(principal.tenant_id)
        if tenant is None or tenant.input is None:
            return messages, []
        findings = Findings(tenant.input, "input")
        rewritten = [rewrite_message(message, findings) for message in messages]
        return (messages if all(map(is_, rewritten, messages)) else rewritten), findings.verdicts

    def request(self, principal: Principal, request: ChatRequest) -> tuple[ChatRequest, list[Verdict]]:
        """What of a request reaches the model besides messages: tools and parameters, every name and text in them."""
        tenant = self._cell.value.of(principal.tenant_id)
        if tenant is None or tenant.input is None or not (request.tools or request.params):
            return request, []
        findings = Findings(tenant.input, "input")
        tools = rewrite_tree(request.tools, findings)
        params = rewrite_tree(request.params, findings, known=FORMAT_KEYS | request.params.keys())
        if tools is request.tools and params is request.params:
            return request, findings.verdicts
        return msgspec.structs.replace(request, tools=tools, params=params), findings.verdicts

    def profile(self, principal: Principal, profile: Json) -> tuple[Json, list[Verdict]]:
        """A user profile: every key and value is text."""
        tenant = self._cell.value.of(principal.tenant_id)
        if tenant is None or tenant.input is None or not profile:
            return profile, []
        findings = Findings(tenant.input, "input")
        return rewrite_tree(profile, findings, known=frozenset()), findings.verdicts

    def allows(self, principal: Principal, text: str) -> bool:
        """Whether nothing in the text would be blocked or masked in an answer."""
        tenant = self._cell.value.of(principal.tenant_id)
        return tenant is None or tenant.output is None or not hides(text, tenant.output)

    def ended(self, principal: Principal, verdicts: Sequence[Verdict]) -> None:
        self._hits.add(principal.tenant_id, verdicts)

    def output(self, principal: Principal) -> OutputGuard:
        tenant = self._cell.value.of(principal.tenant_id)
        if tenant is None or tenant.output is None:
            return self._open
        return WordOutput(tenant.output)


class OpenOutput:
    """The output guard of a tenant without words: everything passes. It has no state, so all turns share one."""

    blocked = False
    held: tuple[int, float] | None = None

    def __init__(self) -> None:
        self.verdicts: list[Verdict] = []

    def feed(self, delta: Delta) -> Delta | None:
        return delta

    def whole(self, delta: Delta) -> list[Delta]:
        return [delta]

    def feed_all(self, deltas: list[Delta]) -> list[Delta]:
        return deltas

    def flush(self) -> list[Delta]:
        return []


class WordOutput:
    """The guard over one answer: a channel for every text of every choice. Once one of them is blocked, nothing more
    leaves on any."""

    __slots__ = ("_calls", "_channels", "_findings", "_reasons", "_waiting", "_words", "verdicts")

    def __init__(self, words: WordMatcher) -> None:
        self._words = words
        self._findings = Findings(words, "output")
        self.verdicts = self._findings.verdicts
        self._channels: dict[tuple[int, str], Channel] = {}
        self._reasons = False  # whether any choice has
        self._calls: dict[tuple[int, int], GuardedCall] = {}
        self._waiting = Waiting()

    @property
    def held(self) -> tuple[int, float] | None:
        return self._waiting.characters, self._waiting.seconds

    @property
    def blocked(self) -> bool:
        return self._findings.blocking

    def feed(self, delta: Delta) -> Delta | None:
        if self._findings.blocking:
            return None
        if not _says_only(delta) or (self._reasons and self._held(delta.index, "reasoning")):
            return self._feed_all(delta)
        content = self._push(delta.index, "content", delta.content)
        if content is None:
            return None
        return delta if content == delta.content else Delta(content=content, index=delta.index)

    def whole(self, delta: Delta) -> list[Delta]:
        """Read once, with its end."""
        if self._channels or self._calls or not delta.content or not _says_only(delta):
            safe = self.feed(delta)
            return [*([safe] if safe is not None else []), *self.flush()]
        text, found = Channel(self._words).push(delta.content, over=True)
        self._findings.add(found)
        if text == delta.content:
            return [delta]
        return [Delta(content=text, index=delta.index)] if text else []

    def feed_all(self, deltas: list[Delta]) -> list[Delta]:
        """Text of one choice is read at once, and leaves in the pieces it came in as far as it may."""
        index = deltas[0].index
        texts = None if self._reasons and self._held(index, "reasoning") else _texts_of(deltas, index)
        if texts is None:
            return [safe for delta in deltas if (safe := self.feed(delta)) is not None]
        if self._findings.blocking:
            return []
        channel = self._channels.get((index, "content"))
        held = 0 if channel is None else channel.held
        said = self._push(index, "content", "".join(texts))
        return [] if said is None else _cut_again(said, held, deltas, texts)

    def flush(self) -> list[Delta]:
        """What was held back. All channels are decided before any of it leaves: one blocked word keeps everything."""
        if self.blocked:
            return []
        rest: list[Delta] = []
        for (index, kind), channel in self._channels.items():
            text, found = channel.push("", over=True)
            self._findings.add(found)
            if text:
                fields: dict[str, Any] = {kind: text}
                rest.append(Delta(**fields, index=index))
        for (index, _), call in self._calls.items():
            held = call.flush()
            if held is not None:
                rest.append(Delta(tool_calls=[held], index=index))
        self._channels.clear()
        self._calls.clear()
        self._waiting.end()
        return [] if self.blocked else rest

    def _feed_all(self, delta: Delta) -> Delta | None:
        """In the order a model says things: it reasons, answers or refuses, calls tools. What is held of the one leaves
        before the next: where each is a part of its own, its end would stand behind what came after it."""
        index = delta.index
        self._reasons = self._reasons or delta.reasoning is not None
        reasoning = self._push(index, "reasoning", delta.reasoning)
        if delta.content or delta.refusal or delta.tool_calls:
            reasoning = self._paused(index, "reasoning", reasoning)
        content = self._push(index, "content", delta.content)
        if delta.tool_calls:
            content = self._paused(index, "content", content)
        refusal = self._push(index, "refusal", delta.refusal)
        calls = self._push_calls(index, delta.tool_calls) if delta.tool_calls else None
        logprobs = None
        if delta.logprobs and content == delta.content and refusal == delta.refusal:
            logprobs = safe_logprobs(delta, self._words)
        safe = Delta(
            content=content, reasoning=reasoning, tool_calls=calls, index=index, refusal=refusal, logprobs=logprobs,
            extra_content=delta.extra_content,
        )  # fmt: skip
        return None if safe == Delta(index=index) else safe

    def _push(self, index: int, kind: str, piece: str | None) -> str | None:
        """What may leave of a channel; None: nothing."""
        if piece is None or self._findings.blocking:
            return None
        if not piece:
            return piece
        key = (index, kind)
        channel = self._channels.get(key)
        if channel is None:
            channel = self._channels[key] = Channel(self._words)
        text, found = channel.push(piece)
        if (held := channel.held) or self._waiting.since:
            self._waiting.note(key, held, len(piece))
        if found:
            self._findings.add(found)
        return text or None

    def _held(self, index: int, kind: str) -> bool:
        channel = self._channels.get((index, kind))
        return channel is not None and channel.held > 0

    def _paused(self, index: int, kind: str, said: str | None) -> str | None:
        """What leaves of a channel, with what was held."""
        if self._findings.blocking or not self._held(index, kind):
            return said
        text, found = self._channels[(index, kind)].pause()
        self._waiting.note((index, kind), 0, 0)
        if found:
            self._findings.add(found)
        return (said or "") + text or None

    def _push_calls(self, index: int, fragments: list[Json]) -> list[Json] | None:
        """Fragments without what is held of them; one that then says nothing is left out."""
        safe: list[Json] = []
        for place, fragment in enumerate(fragments):
            if self._findings.blocking:
                break
            key = (index, fragment.get("index", place))
            call = self._calls.get(key)
            if call is None:
                call = self._calls[key] = GuardedCall(key[1], self._words, self._findings)
            said = call.feed(fragment)
            self._waiting.note(key, call.held, call.fresh)
            if said is not None:
                safe.append(said)
        return safe or None


def _says_only(delta: Delta) -> bool:
    """Whether there is nothing but content in it, as mostly."""
    return (
        delta.reasoning is None
        and delta.tool_calls is None
        and delta.refusal is None
        and delta.logprobs is None
        and delta.extra_content is None
    )


def _texts_of(deltas: Sequence[Delta], index: int) -> list[str] | None:
    """The text of each, if all are text of this choice and nothing else. One loop: a call for each takes twice as
    long."""
    texts: list[str] = []
    for delta in deltas:
        text = delta.content
        if (
            not text
            or delta.index != index
            or delta.reasoning is not None
            or delta.tool_calls is not None
            or delta.refusal is not None
            or delta.logprobs is not None
            or delta.extra_content is not None
        ):
            return None
        texts.append(text)
    return texts


def _cut_again(said: str, held: int, deltas: list[Delta], texts: list[str]) -> list[Delta]:
    """What may leave (something), cut where it was when it came. `held`: characters of it that had come before."""
    index = deltas[0].index
    whole = "".join(texts)
    if not whole.startswith(said[held:]):  # something is masked
        edges = list(accumulate(map(len, texts), initial=held))
        edges[0] = 0
        return [Delta(content=piece, index=index) for start, end in pairwise(edges) if (piece := said[start:end])]
    count, back = len(texts), len(whole) - max(0, len(said) - held)
    while count > 1 and back >= len(texts[count - 1]):
        count -= 1
        back -= len(texts[count])
    if not (held or back) and count == len(texts):
        return deltas
    pieces = deltas[:count]
    if back:
        pieces[-1] = Delta(content=texts[count - 1][:-back], index=index)
    if held:
        pieces[0] = Delta(content=said[: held + len(texts[0])], index=index)
    return pieces
