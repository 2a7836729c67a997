import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.normalising import normalise
from tests.compliance.wordlists import matcher, plain_hits, plain_hold

TEXTS = st.text(alphabet="abAß１坏人ＢÉ。 İ", max_size=12)
WORDS = st.lists(st.text(alphabet="abß1坏人。 i", min_size=1, max_size=4), min_size=1, max_size=6)


def found(words, text):
    normal, _ = normalise(text)
    return [normal[hit.start : hit.end] for hit in matcher(block=words).find(normal)]


@pytest.mark.parametrize(
    ("word", "text", "hit"),
    [
        ("ass", "a class of its own", False),
        ("ass", "An ASS.", True),
        ("ass", "ass", True),
        ("ass", "assess", False),
        ("ass", "你是ass吗", True),
        ("ass", "snake_ass_case", True),
        ("дурак", "дураки", False),
        ("дурак", "Дурак!", True),
        ("坏人", "他是坏人吗", True),
        ("坏", "坏人", True),
        ("나쁜", "나쁜놈", True),
        ("c++", "use c++11", True),
        ("123", "1234", False),
        ("abc", "ＡＢＣ", True),
        ("ＡＢＣ", "abc", True),
        ("a,b", "a，b", True),
        ("カタ", "ｶﾀ", True),
        ("strasse", "STRAẞE", True),
    ],
)
def test_it_finds_words_where_they_are_words(word, text, hit):
    assert bool(found([word], text)) is hit


def test_it_finds_every_overlapping_word():
    assert found(["中国", "中国人", "国人", "人"], "中国人") == ["中国", "中国人", "国人", "人"]


def test_it_finds_a_word_inside_a_longer_one_that_is_no_hit():
    assert found(["ab cd", "cd"], "xab cd") == ["cd"]


def test_it_knows_which_lists_a_word_is_in():
    words = matcher(block=["Bad", "bad"], mask=["BAD"], record=["good"])
    (hit,) = words.find("so bad")
    entry = words.entries[hit.word]
    assert [rule.action for rule in entry.rules] == ["block", "mask"]
    assert (entry.block, entry.mask) == (True, True)


def test_it_reads_past_lone_surrogates():
    assert found(["bad"], "\ud800 bad \udfff") == ["bad"]


@given(words=WORDS, text=TEXTS)
def test_it_finds_what_looking_everywhere_finds(words, text):
    normal, _ = normalise(text)
    compiled = matcher(block=words)
    hits = {(hit.start, hit.end, compiled.words[hit.word]) for hit in compiled.find(normal)}
    assert hits == plain_hits(normal, words)


@given(words=WORDS, text=TEXTS)
def test_it_holds_what_could_still_become_a_word_and_no_more(words, text):
    normal, _ = normalise(text)
    assert matcher(block=words).held_from(normal, len(normal)) == plain_hold(normal, words)


@given(before=TEXTS, after=TEXTS)
def test_it_normalises_pieces_as_it_does_the_whole(before, after):
    assert normalise(before + after)[0] == normalise(before)[0] + normalise(after)[0]


@given(text=st.text(max_size=30))
def test_it_knows_where_every_normal_character_came_from(text):
    normal, origins = normalise(text)
    places = range(len(text)) if origins is None else origins
    assert len(places) == len(normal)
    assert sorted(set(places)) == list(range(len(text)))
    for place, character in zip(places, normal, strict=True):
        assert character in normalise(text[place])[0]


def test_it_takes_sixty_thousand_words():
    chance = random.Random(7)
    words = {"".join(chr(chance.randrange(0x4E00, 0x9FA5)) for _ in range(chance.randint(2, 6))) for _ in range(60_000)}
    compiled = matcher(block=sorted(words))
    text = "好" * 300 + min(words) + "好" * 300
    assert min(words) in [compiled.words[hit.word] for hit in compiled.find(text)]
