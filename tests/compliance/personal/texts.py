"""A privacy over given recognisers, without a database, and a model that writes back what it was sent."""

from __future__ import annotations

from collections import Counter
from typing import Any

from compliance.personal.privacy import PersonalPrivacy, PersonalTable
from compliance.personal.restoring import Restorer
from compliance.personal.scanning import NAMES, Scanner
from engine.folding import Fold
from engine.snapshots import Cell
from engine.types import ChatRequest, Delta, Message
from tests.cast import ACME, ALICE

MOBILE, OTHER_MOBILE = "13812345678", "13912345678"
MAIL = "bob@example.com"
IDENTITY = "11010519491231002X"
CARD = "4111 1111 1111 1111"
VALUES = (MOBILE, OTHER_MOBILE, MAIL, IDENTITY, CARD)


def privacy(*names: str) -> tuple[PersonalPrivacy, Counter[str]]:
    """For Alice's and Bob's tenant, and what it has counted."""
    counted: Counter[str] = Counter()

    def count(kind: str, number: int) -> None:
        counted[kind] += number

    return PersonalPrivacy(Cell(PersonalTable({ACME.id: Scanner(names or NAMES)})), count), counted


def masked(
    *texts: str | Message | list[dict[str, Any]], **fields: Any
) -> tuple[list[Any], ChatRequest, Restorer | None]:
    """What Alice's model is sent for these messages: their contents, or the message where one was given."""
    messages = [text if isinstance(text, Message) else Message("user", text) for text in texts]
    sent, request, restorer = privacy()[0].mask(ALICE.principal, messages, ChatRequest(messages=messages, **fields))
    shown = [new if isinstance(text, Message) else new.content for text, new in zip(texts, sent, strict=True)]
    return shown, request, restorer


def folded(restorer: Restorer, deltas: list[Delta]) -> Message:
    """The answer as a client puts it together."""
    fold = Fold()
    for delta in deltas:
        if (safe := restorer.feed(delta)) is not None:
            fold.add(safe)
    for rest in restorer.flush():
        fold.add(rest)
    return fold.choices({}, "stop")[0].message
