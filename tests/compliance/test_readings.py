"""Runs of letters, beginnings of words and the ends of long texts: the quick ways say what the plain ones do."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.beginnings import Beginnings
from compliance.characters import OF_CHARACTERS, characters
from compliance.holdback import Channel
from compliance.normalising import DEFAULT_SWITCHES, SWITCHES
from compliance.readings import Reading, runs_of
from compliance.words import held_from
from tests.compliance.test_words import ODD_SWITCHES, ODD_TEXTS, ODD_WORDS
from tests.compliance.wordlists import matcher

SIZES = [0, 1, 2, 63, 64, 65, 96, 97, 128, 4095, 4096, 4097]
BEFORE = [
    "The quick brown fox jumps over the lazy dog. " * 9,
    "委员会将于星期二开会，讨论新图书馆的计划；预计秋天可以开放。" * 12,
    "...---..." * 40,
    "a\u200b" * 90,
    "ⓐ㏂ﬀ" * 60,
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("letters", ["abc", "aab", "a", "坏人", "坏坏人", "坏a\u200bÿ", "𝓫𝓫a", "a" * 63 + "b"])
def test_it_takes_each_run_of_one_letter_as_one(letters, size):
    text = (letters * size)[:size]
    assert runs_of(text, True, True) == re.sub(r"(.)\1+", r"\1", text, flags=re.DOTALL)


@given(letters=st.text(st.sampled_from("aabc 坏坏人ÿ\u8000\u7fff\n𝓫"), max_size=300))
def test_it_takes_runs_anywhere_as_one(letters):
    assert runs_of(letters, True, False) == re.sub(r"(.)\1+", r"\1", letters, flags=re.DOTALL)


@given(words=st.lists(st.text(max_size=12), max_size=40))
def test_it_misses_no_beginning(words):
    beginnings = Beginnings(lambda: ((word, 2, len(word)) for word in words))
    assert all(beginnings.may_hold(word[:size]) for word in words for size in range(2, len(word) + 1))


def test_it_lets_few_other_letters_through():
    beginnings = Beginnings(lambda: ((f"word {number}", 2, 6) for number in range(5_000)))
    assert sum(map(bool, map(beginnings.may_hold, map(str, range(10_000))))) < 3_000


@settings(max_examples=60, deadline=None)
@given(
    words=ODD_WORDS.filter(bool), switches=ODD_SWITCHES, begin=st.sampled_from(BEFORE), text=ODD_TEXTS, end=ODD_TEXTS
)
def test_it_holds_of_a_long_text_what_all_of_it_tells(words, switches, begin, text, end):
    whole = begin + text + words[0] + end
    for cut in range(len(begin), len(whole) + 1):
        for group in matcher(frozenset(switches), record=words)._groups:
            for view in group.views:
                reading = Reading(whole[:cut], view.characters, view.repeats)
                assert held_from(view, reading, 0) == view.held_from(reading, 0)


@pytest.mark.parametrize("switches", [DEFAULT_SWITCHES, frozenset(SWITCHES), frozenset()])
def test_it_knows_a_word_by_the_one_character_before_it(switches):
    channel = Channel(matcher(switches, mask=["bad", "坏人"]))
    parts = ["so", "bad", " ", "bad", ".", "一", "bad", "坏", "人", "9", "bad", "\u200b", " ", "好", "坏", "人"]
    said = "".join(channel.push(part)[0] for part in parts) + channel.push("", over=True)[0]
    assert said == "sobad ***.一***" + "**" + "9bad\u200b 好**"


@pytest.mark.parametrize("unseen", ["\u200b", "\u200b" * 8])
def test_it_looks_past_what_nobody_sees_for_a_words_beginning(unseen):
    channel = Channel(matcher(DEFAULT_SWITCHES, mask=["bad"]))
    parts = ["so", *unseen, "bad", " ", *unseen, "bad", "."]
    assert "".join(channel.push(part)[0] for part in parts) == f"so{unseen}bad {unseen}***."


@pytest.mark.parametrize("switches", [frozenset(), OF_CHARACTERS, OF_CHARACTERS - {"lookalikes"}, {"symbols"}])
def test_it_reads_ascii_at_once_as_one_character_after_the_other(switches):
    reads = characters(frozenset(switches))
    for character in map(chr, range(128)):
        assert reads.read(f"x{character}y") == f"x{character}y".translate(reads.table)


@pytest.mark.parametrize(
    ("text", "loose"),
    [
        ("So it is. And (so) it's - or isn't!", False),
        ("a.b", True),
        ("a. b", False),
        ("a..b", True),
        ("a.. b.", False),
        ("a-\x1f-b", True),
        ("cash", False),
        ("ca$h", True),
        ("$", True),
        ("a\tb\x0bc'd", False),
        ("é", True),
    ],
)
def test_it_knows_where_letters_may_not_be_the_neighbours_they_seem(text, loose):
    assert Reading(text, characters(DEFAULT_SWITCHES & OF_CHARACTERS), True).loose is loose
