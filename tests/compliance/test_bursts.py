"""Deltas that arrive together are read at once: what leaves in the end is what leaves one by one, and never a word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.guard import _cut_again
from engine.folding import Fold
from engine.types import Delta
from tests.cast import ALICE
from tests.compliance.test_holdback import CUTS, ODD_LISTS, compiled, pieces, said, texts_with
from tests.compliance.wordlists import guard_of, matcher

KINDS = ("content", "reasoning", "refusal")


def grouped(words, deltas, sizes):
    """The answer of deltas that arrive in groups; and the text of its pieces."""
    output = guard_of(words).output(ALICE.principal)
    fold, left, seen = Fold(), list(deltas), []
    for size in [*sizes, len(left)]:
        group, left = left[:size], left[size:]
        if not group or output.blocked:
            continue
        released = output.feed_all(group) if len(group) > 1 else [output.feed(group[0])]
        for safe in released:
            if safe is not None:
                fold.add(safe)
                seen.append(safe)
    for rest in output.flush():
        fold.add(rest)
    return fold.choices({}, "stop")[0].message, output.verdicts, output.blocked, seen


@given(st.data(), ODD_LISTS, CUTS, st.lists(st.integers(1, 6), max_size=6))
def test_what_leaves_is_what_leaves_one_by_one(data, lists, cuts, sizes):
    words = compiled(lists)
    text = data.draw(texts_with([word for _, listed, _ in lists for word in listed]))
    parts = [part for part in pieces(text, cuts) if part]
    alone, found, blocked = said(words, parts)
    together, also, as_well, _ = grouped(words, [Delta(content=part) for part in parts], sizes)
    assert (together.content, also, as_well) == (alone.content, found, blocked)


@given(st.data(), ODD_LISTS, CUTS, st.lists(st.integers(1, 6), max_size=6))
def test_so_it_is_where_a_model_reasons_in_between(data, lists, cuts, sizes):
    words = compiled(lists)
    text = data.draw(texts_with([word for _, listed, _ in lists for word in listed]))
    deltas = [Delta(**{data.draw(st.sampled_from(KINDS)): part}) for part in pieces(text, cuts) if part]
    alone, found, blocked = grouped(words, deltas, [1] * len(deltas))[:3]
    together = grouped(words, deltas, sizes)[:3]
    assert together == (alone, found, blocked)


@given(st.data(), ODD_LISTS)
def test_an_answer_in_one_piece_is_read_with_its_end(data, lists):
    words = compiled(lists)
    text = data.draw(texts_with([word for _, listed, _ in lists for word in listed]))
    alone, found, blocked = said(words, [text] if text else [])
    output = guard_of(words).output(ALICE.principal)
    fold = Fold()
    for safe in output.whole(Delta(content=text)) if text else []:
        fold.add(safe)
    assert output.flush() == []
    assert (fold.choices({}, "stop")[0].message, output.verdicts, output.blocked) == (alone, found, blocked)


def test_text_without_words_leaves_in_the_pieces_it_came_in():
    deltas = [Delta(content=piece) for piece in ("The quick ", "brown fox ", "jumps over. ")]
    assert grouped(matcher(block=["badger"]), deltas, [3])[3] == deltas


def test_the_end_of_what_arrived_together_is_held_back_if_it_may_become_a_word():
    deltas = [Delta(content=piece) for piece in ("Look, ", "a bad", "g")]
    output = guard_of(matcher(block=["badger"])).output(ALICE.principal)
    assert output.feed_all(deltas) == [Delta(content="Look, "), Delta(content="a ")]
    assert output.feed_all([Delta(content="e"), Delta(content="s ")]) == [Delta(content="badge"), Delta(content="s ")]
    assert output.flush() == []


@pytest.mark.parametrize("action", ["block", "mask"])
def test_a_word_across_what_arrived_together_is_found(action):
    words = matcher(**{action: ["badger"]})
    deltas = [Delta(content=piece) for piece in ("A ba", "dg", "er sat.")]
    message, verdicts, blocked, _ = grouped(words, deltas, [3])
    assert [verdict.word for verdict in verdicts] == ["badger"]
    assert "badger" not in message.content
    assert blocked == (action == "block")
    assert message.content == ("A " if action == "block" else "A ****** sat.")


def test_two_choices_that_arrive_together_are_two_texts():
    words = matcher(block=["badger"])
    deltas = [Delta(content="bad", index=0), Delta(content="ger", index=1), Delta(content="ly", index=0)]
    _, verdicts, blocked, seen = grouped(words, deltas, [3])
    assert not verdicts
    assert not blocked
    assert seen


TEXTS = st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=5)


@given(texts=TEXTS, before=st.text("ab", max_size=3), left=st.integers(1, 18), mask=st.none() | st.integers(0, 9))
def test_what_leaves_is_cut_where_it_was_when_it_came(texts, before, left, mask):
    said = (before + "".join(texts))[:left]
    if mask is not None:
        said = said[:mask] + "*" * len(said[mask : mask + 2]) + said[mask + 2 :]
    edges = [0, *(len(before) + len("".join(texts[:count])) for count in range(1, len(texts) + 1))]
    plainly = [said[start:end] for start, end in zip(edges, edges[1:], strict=False) if said[start:end]]
    deltas = [Delta(content=text, index=1) for text in texts]
    assert _cut_again(said, len(before), deltas, texts) == [Delta(content=text, index=1) for text in plainly]
