import pytest

from plugins.intents.elsewhere import LIKENESS, everyday, outside
from plugins.intents.texts import LONGEST, normalised, pieces, runs, word_grams, words


def test_it_takes_each_chinese_character_for_a_word():
    assert words(normalised("我要 Refund ORDER-7!")) == ["我", "要", "refund", "order", "7"]
    assert word_grams(["a", "b", "c"]) == ["a", "b", "c", "a b", "b c"]


@pytest.mark.parametrize(("text", "same"), [("ＡＢＣ１", "abc1"), ("ﾃｽﾄ", "テスト"), ("STRASSE", "strasse")])
def test_width_and_case_make_no_difference(text, same):
    assert normalised(text) == same


def test_pieces_stay_within_words():
    assert runs("ab 退款c") == ["ab", "退款", "c"]
    assert pieces("ab") == [" a", "ab", "b ", " ab", "ab ", " ab "]
    assert pieces("退款吗") == ["退款", "款吗", "退款吗"]


def test_a_long_text_is_read_from_its_beginning():
    assert len(normalised("x" * 10_000)) == LONGEST
    assert len(normalised("\ufdfa" * 10_000)) == LONGEST  # one character that NFKC makes eighteen of


def test_an_everyday_text_like_an_example_is_no_example_of_none_of_these():
    assert set(everyday()) - set(outside(["is it going to snow tomorrow in paris"])) == {"is it going to snow tomorrow"}
    assert len(everyday()) == len(set(everyday()))


def test_everyday_texts_are_left_out_by_the_share_they_have_in_common():
    """As each with each would say, but for many examples: words and pairs in common, of all that either has."""
    examples = [f"is it going to snow {place}" for place in ("here", "", "tomorrow where my aunt lives now")]
    examples += [*everyday()[::7], "", "!!!", "明天会下雪吗"]
    grams = {text: frozenset(word_grams(words(normalised(text)))) for text in [*examples, *everyday()]}
    alike = {
        text
        for text in everyday()
        for other in (grams[example] for example in examples)
        if len(grams[text] & other) >= LIKENESS * len(grams[text] | other)
    }
    assert outside(examples) == [text for text in everyday() if text not in alike]
