"""Where words are found, however they are written; examples of each switch, and all of them against a plain search."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.normalising import DEFAULT_SWITCHES, SWITCHES, normalise
from compliance.words import Rule, WordMatcher
from tests.compliance import oracle
from tests.compliance.wordlists import NO_SWITCHES, matcher, plain_hits

TEXTS = st.text(alphabet="abAß1坏人ＢÉ。 ", max_size=12)
WORDS = st.lists(st.text(alphabet="abß1坏人。 i", min_size=1, max_size=4), min_size=1, max_size=6)

# Texts and words made of what the switches are about.
SIGNS = [*"aabbA坏人壞仁1一ß.-'@0", " ", " ", "ⓐ", "\u200b", "\u0301", "а", "ﬀ", "ren", "huai", "huài", "r", "2"]
ODD_TEXTS = st.lists(st.sampled_from([*SIGNS, "." * 8, "." * 9, "\u200b" * 8, "\u200b" * 9]), max_size=8).map("".join)
ODD_WORDS = st.lists(
    st.lists(st.sampled_from(SIGNS), min_size=1, max_size=3).map("".join).map(str.strip).filter(bool), max_size=3
)
ODD_SWITCHES = st.one_of(st.just(DEFAULT_SWITCHES), st.just(frozenset(SWITCHES)), st.sets(st.sampled_from(SWITCHES)))


def found(words, text, switches=NO_SWITCHES, exceptions=()):
    return [text[hit.start : hit.end] for hit in matcher(switches, exceptions, block=words).find(text)]


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
@pytest.mark.parametrize("switches", [NO_SWITCHES, DEFAULT_SWITCHES, frozenset(SWITCHES)])
def test_it_finds_words_where_they_are_words(word, text, hit, switches):
    assert bool(found([word], text, switches)) is hit


@pytest.mark.parametrize(
    ("switch", "word", "text", "hit"),
    [
        ("traditional", "坏人", "他是壞人", "壞人"),
        ("traditional", "壞人", "他是坏人", "坏人"),
        ("forms", "bad", "so ⓑⓐⓓ!", "ⓑⓐⓓ"),
        ("forms", "bad", "so 🅑🅰🇩!", "🅑🅰🇩"),
        ("forms", "bad", "so ⒝⒜⒟!", "⒝⒜⒟"),
        ("forms", "bad", "so 𝓫𝔞𝕕 ᴮᴬᴰ", "𝓫𝔞𝕕"),
        ("forms", "bad", "so ʙᴀᴅ", "ʙᴀᴅ"),
        ("forms", "64", "⁶④ 和", "⁶④"),
        ("forms", "0544345", "⓿⑸肆㈤٣❹Ⅴ", None),
        ("forms", "054534", "⓿⑸肆㈤٣❹", "⓿⑸肆㈤٣❹"),
        ("forms", "六四", "说64吗", "64"),
        ("forms", "六四", "说1645吗", None),
        ("forms", "ⓑad", "so bad", "bad"),
        ("invisible", "bad", "so b\u200ba\u202ed\u00ad!", "b\u200ba\u202ed"),
        ("invisible", "坏人", "坏\ufe0f人", "坏\ufe0f人"),
        ("invisible", "坏人", "坏\U000e0101人", "坏\U000e0101人"),
        ("invisible", "bad", "b\u0335a\u0301d", "b\u0335a\u0301d"),
        ("invisible", "bad", "so b\x1ca\x85d", "b\x1ca\x85d"),
        ("invisible", "سلام", "سَـلام", "سَـلام"),
        ("invisible", "שלום", "שָׁלוֹם", "שָׁלוֹם"),
        ("invisible", "ass", "cl\u200bass", None),
        ("symbols", "坏人", "坏-.*人", "坏-.*人"),
        ("symbols", "坏人", "坏 \n 人", "坏 \n 人"),
        ("symbols", "坏人", "坏" + "." * 8 + "人", "坏" + "." * 8 + "人"),
        ("symbols", "坏人", "坏" + "." * 9 + "人", None),
        ("symbols", "bad", "a b.a-d day", "b.a-d"),
        ("symbols", "bad", "so b a d!", "b a d"),
        ("symbols", "bad", "plan b ad", None),
        ("symbols", "hell", "he'll do", None),
        ("symbols", "ass", "a.class.of", None),
        ("symbols", "kill yourself", "kill  yourself", "kill  yourself"),
        ("symbols", "kill yourself", "kill-yourself", "kill-yourself"),
        ("symbols", "c++", "c and c+", None),
        ("symbols", "u.s.", "us", None),
        ("symbols", "u.s.", "the u.s. and", "u.s."),
        ("symbols", "🔞", "so 🔞!", "🔞"),
        ("repeats", "good", "so goood", "goood"),
        ("repeats", "good", "so god", None),
        ("repeats", "bad", "baaadddd!", "baaadddd"),
        ("repeats", "坏人", "坏坏人", "坏坏人"),
        ("repeats", "哈哈", "哈", None),
        ("repeats", "bad", "b" + "a" * 9 + "d", "b" + "a" * 9 + "d"),
        ("repeats", "bad", "b" + "a" * 10 + "d", None),
        ("lookalikes", "bad", "so bаd", "bаd"),  # noqa: RUF001
        ("lookalikes", "bad", "so b4d, b@d", "b4d"),
        ("lookalikes", "shit", "$h1t", "$h1t"),
        ("lookalikes", "bad", "bäd", "bäd"),
        ("lookalikes", "bad", "$bad|", "bad"),
        ("lookalikes", "535", "ses", None),
        ("pinyin", "坏人", "ta shi huairen", "huairen"),
        ("pinyin", "坏人", "Huai Ren!", "Huai Ren"),
        ("pinyin", "坏人", "huài rén", "huài rén"),
        ("pinyin", "坏人", "hua\u0300i re\u0301n", "hua\u0300i re\u0301n"),
        ("pinyin", "坏人", "huai4 ren2.", "huai4 ren2"),
        ("pinyin", "坏人", "是坏ren", "坏ren"),
        ("pinyin", "坏人", "怀人", None),
        ("pinyin", "坏人", "huairens", None),
        ("pinyin", "坏人", "hua iren", None),
        ("pinyin", "西安", "xi'an", "xi'an"),
        ("pinyin", "先生", "xi an sheng", None),
        ("pinyin", "女人", "nv ren, nǚrén", "nv ren"),
        ("pinyin", "人", "ren", None),
        ("initials", "中国人", "ZGR", "ZGR"),
        ("initials", "中国人", "azgrb", None),
        ("initials", "坏人", "hr", None),
        ("homophones", "坏人", "怀仁", "怀仁"),
        ("homophones", "坏人", "huairen", None),
        ("homophones", "西安", "先", None),
    ],
)
def test_it_sees_through_what_a_list_asks_for(switch, word, text, hit):
    assert found([word], text, frozenset({switch}))[:1] == ([hit] if hit else [])
    if hit:
        assert hit not in found([word], text, NO_SWITCHES) or normalise(hit)[0] == word
    assert found([word], text, DEFAULT_SWITCHES | {switch})[:1] == ([hit] if hit else [])


def test_it_sees_through_several_at_once():
    assert found(["坏人"], "他是壞\u200b-ⓡen", frozenset(SWITCHES)) == ["壞\u200b-ⓡen"]
    assert found(["bad"], "ⓑ.а\u200baa.D", frozenset(SWITCHES)) == ["ⓑ.а\u200baa.D"]


def test_it_keeps_the_switches_of_lists_apart():
    words = WordMatcher(
        [
            (Rule("wide", 1, "block"), ["坏人"], frozenset({"pinyin"})),
            (Rule("narrow", 1, "mask"), ["坏人"], NO_SWITCHES),
        ]
    )
    assert [explained.rule.name for explained in words.explain("huairen")] == ["wide"]
    assert [explained.rule.name for explained in words.explain("坏人")] == ["wide", "narrow"] or (
        [explained.rule.name for explained in words.explain("坏人")] == ["narrow"]
    )


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


def test_it_explains_which_entry_of_which_list_did_it():
    words = matcher(DEFAULT_SWITCHES, block=["壞人"], mask=["Bad"])
    assert [tuple(each) for each in words.explain("B.A.D 坏坏人")] == [
        (0, 5, Rule("mask", 1, "mask"), "Bad", "B.A.D"),
        (6, 9, Rule("block", 1, "block"), "壞人", "坏坏人"),
    ]
    assert words.explain("good") == []


# Exceptions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exceptions", "text", "hits"),
    [
        ([], "坏人不坏", ["坏", "坏"]),
        (["坏人不坏"], "坏人不坏", []),
        (["坏人不坏"], "坏人不好", ["坏"]),
        (["坏人不坏"], "坏人不坏坏", ["坏"]),
        (["不坏"], "坏人不坏", ["坏"]),
        (["壞 人"], "坏-人 坏", ["坏"]),
        (["bad hair"], "bad hair, bad", ["bad"]),
        (["bad hair"], "bad hairs", ["bad"]),
        (["so bad"], "so bad, also bad", ["bad"]),
    ],
)
def test_it_spares_what_lies_in_an_exception(exceptions, text, hits):
    assert found(["坏", "bad"], text, DEFAULT_SWITCHES, exceptions) == hits


def test_it_spares_no_word_that_only_overlaps_an_exception():
    assert found(["坏人"], "不坏人", DEFAULT_SWITCHES, ["不坏"]) == ["坏人"]


# Against plain definitions ----------------------------------------------------------------------------------------


@given(words=WORDS, text=TEXTS)
def test_it_finds_what_looking_everywhere_finds(words, text):
    normal, origins = normalise(text)
    places = range(len(text)) if origins is None else origins
    compiled = matcher(block=words)
    hits = {(hit.start, hit.end, compiled.words[hit.word]) for hit in compiled.find(text)}
    assert hits == {(places[start], places[end - 1] + 1, word) for start, end, word in plain_hits(normal, words)}


@settings(max_examples=100, deadline=None)
@given(words=ODD_WORDS, text=ODD_TEXTS, switches=ODD_SWITCHES, exceptions=ODD_WORDS)
def test_it_finds_what_looking_everywhere_finds_with_every_switch(words, text, switches, exceptions):
    switches = frozenset(switches)
    compiled = matcher(switches, exceptions, block=words)
    hits = [(compiled.words[hit.word], hit) for hit in compiled.find(text)]
    plain = oracle.kept_of(text, words, switches, exceptions)
    covered = {(word, place) for word, hit in hits for place in range(hit.start, hit.end)}
    assert covered == {(hit.word, place) for hit in plain for place in range(hit.start, hit.end)}


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


# Anything at all --------------------------------------------------------------------------------------------------


@given(text=st.text(alphabet=st.characters(exclude_categories=()), max_size=40))
def test_it_reads_any_text(text):
    words = matcher(frozenset(SWITCHES), ["坏人不坏"], block=["bad", "坏人", "c++"])
    for explained in words.explain(text + "bad"):
        assert explained.found == (text + "bad")[explained.start : explained.end]
    assert 0 <= words.scan(text, over=False).held_from() <= len(text)


def test_it_reads_past_lone_surrogates_and_nul():
    assert found(["bad"], "\ud800 bad \udfff\0") == ["bad"]
    assert found(["bad"], "b\ud800a\0d", DEFAULT_SWITCHES) == ["b\ud800a\0d"]


def test_it_leaves_out_words_of_nothing():
    assert found(["\u200b", "\u0301"], "\u200b a\u0301", frozenset({"invisible"})) == []


def test_it_takes_sixty_thousand_words():
    chance = random.Random(7)
    words = {"".join(chr(chance.randrange(0x4E00, 0x9FA5)) for _ in range(chance.randint(2, 6))) for _ in range(60_000)}
    compiled = matcher(DEFAULT_SWITCHES, block=sorted(words))
    text = "好" * 300 + min(words) + "好" * 300
    assert min(words) in [compiled.words[hit.word] for hit in compiled.find(text)]


@pytest.mark.parametrize(
    ("words", "switches", "exceptions", "weight"),
    [
        (["bad", "坏人", "x" * 64], DEFAULT_SWITCHES, [], 1),
        (["a" * length for length in range(1, 65)], DEFAULT_SWITCHES, [], 64),
        (["坏人", *("坏人" + "x" * length for length in range(1, 61))], DEFAULT_SWITCHES, [], 30),
        (["bad"], frozenset({*DEFAULT_SWITCHES, "pinyin"}), [], 4),
        (["bad"], DEFAULT_SWITCHES, ["badge"], 4),
        (["bad"], frozenset(SWITCHES), ["badge"], 16),
    ],
)
def test_it_knows_which_words_take_long_to_look_for(words, switches, exceptions, weight):
    assert matcher(switches, exceptions, block=words).weight == weight
    if not exceptions:
        parts = [matcher(switches, block=words), matcher(block=["other"])]
        assert WordMatcher.joined(parts).weight == weight
