"""Implements `engine.ports.Privacy`: the personal data of a turn stays here, the model works with placeholders.

All it reads is one immutable `PersonalTable`, swapped whole. Nothing is remembered between turns: history is masked
anew each time, and what stands for which value is known to that call's restorer alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from compliance.personal.masking import Masker
from compliance.personal.restoring import Restorer
from compliance.personal.scanning import Scanner
from compliance.texts import FORMAT_KEYS, rewrite_each, rewrite_message, rewrite_tree
from engine.snapshots import Cell
from engine.types import ChatRequest, Message, Principal

Count = Callable[[str, int], None]


class PersonalTable(msgspec.Struct, frozen=True):
    """What is recognised for which tenant. Whoever is not in it has switched nothing on."""

    tenants: dict[int, Scanner] = {}


class PersonalPrivacy:
    """`count(kind, number)` is told how many different values each masked call had."""

    def __init__(self, cell: Cell[PersonalTable], count: Count) -> None:
        self._cell = cell
        self._count = count

    def mask(
        self, principal: Principal, messages: list[Message], request: ChatRequest
    ) -> tuple[list[Message], ChatRequest, Restorer | None]:
        scanner = self._cell.value.tenants.get(principal.tenant_id)
        if scanner is None:
            return messages, request, None
        masker = Masker(scanner)
        masked = _masked(masker, messages, request)
        if masker.clashes:
            masker = Masker(scanner, reserved=frozenset(masker.typed))
            masked = _masked(masker, messages, request)
        if not masker.values:
            return messages, request, None
        self._tell(masker.counts)
        return *masked, Restorer(masker.values, masker.counts)

    def mask_each(self, principal: Principal, texts: Sequence[str]) -> tuple[list[str], dict[str, int]]:
        """Each text is numbered by itself, so that its vector does not depend on its neighbours."""
        scanner = self._cell.value.tenants.get(principal.tenant_id)
        if scanner is None:
            return list(texts), {}
        masked: list[str] = []
        counts: Counter[str] = Counter()
        for text in texts:
            masker = Masker(scanner)
            masked.append(masker.whole(text))
            counts += masker.counts
        self._tell(counts)
        return masked, dict(counts)

    def _tell(self, counts: Counter[str]) -> None:
        for kind, number in counts.items():
            self._count(kind, number)


def _masked(masker: Masker, messages: list[Message], request: ChatRequest) -> tuple[list[Message], ChatRequest]:
    """In the order a model reads it. The request that goes on has no other text of the turn than these."""
    masked = rewrite_each(messages, [rewrite_message(message, masker) for message in messages])
    tools = rewrite_tree(request.tools, masker)
    params = rewrite_tree(request.params, masker, known=FORMAT_KEYS | request.params.keys())
    if not masker.values:
        return messages, request
    return masked, msgspec.structs.replace(request, messages=masked, tools=tools, params=params, user_profile=None)
