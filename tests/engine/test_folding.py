"""What an answer is folded into keeps few pieces, whatever was given of it meanwhile."""

from __future__ import annotations

from engine.folding import JOINED, ChoiceFold
from engine.types import Delta


def test_pieces_that_were_given_are_joined_and_given_once():
    fold = ChoiceFold()
    given = []
    for number in range(3000):
        fold.add(Delta(content=f"{number} ", reasoning="r"))
        if number % 3 == 0:
            given.append(fold.increment(0))
    given.append(fold.increment(0))
    whole = "".join(f"{number} " for number in range(3000))
    assert "".join(delta.content for delta in given) == whole
    assert "".join(delta.reasoning or "" for delta in given) == "r" * 3000
    assert fold.increment(0) is None
    assert fold.choice(0, "stop").message.content == whole
    assert len(fold.content) <= len(whole) // JOINED + 1
    assert max(map(len, fold.content)) <= JOINED + 20
