"""By script first, then by two models; numbers, programs and what nobody asked for are no language."""

import time

import pytest

from plugins.languages import models
from plugins.languages.detector import detect
from plugins.languages.names import NAMES, USUAL
from plugins.languages.scripts import read
from tests.plugins.languages.said import SAID


@pytest.fixture(scope="module")
def both():
    return models.load()


def language(text, both, languages=USUAL, before=None):
    found = detect(text, languages, both, before)
    return found.language if found is not None and found.confidence >= 0.5 else None


def test_it_knows_what_people_say_to_a_chat(both):
    assert set(SAID) == set(USUAL)
    wrong = [(name, text) for name, texts in SAID.items() for text in texts if language(text, both) != name]
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("请帮我 debug 这个 Kubernetes deployment", "zh"),
        ("用Python写一个quick sort", "zh"),
        ("iPhone 15 多少钱", "zh"),
        ("看看 https://example.com/en/login?next=/home 这个页面", "zh"),
        ("😀😀 谢谢", "zh"),
        ("鮮の每日很好吃", "zh"),
        ("What does 你好 mean in English?", "en"),
        ("Translate “你好世界，我们今天开会” into French", "en"),
        ("これはPythonのコードです", "ja"),
        ("Docker 컨테이너가 안 켜져요", "ko"),
        ("помоги с Docker compose", "ru"),
        ("駅前", "ja"),
        ("THIS IS URGENT, PLEASE ANSWER", "en"),
        ("```\nfor x in range(3): print(x)\n``` pourquoi cela ne marche-t-il pas ?", "fr"),
        ("cafe\u0301 s'il vous plai\u0302t, et deux croissants", "fr"),
    ],
)
def test_it_reads_mixed_texts_by_what_carries_the_sentence(both, text, expected):
    assert language(text, both) == expected


@pytest.mark.parametrize(
    "text",
    ["", " ", "12345", "3.14 + 2 = ?", "😀", "a", "https://example.com/a/b", "def f(x): return x+1", "bob@example.com",
     "print('hello world')", '{"a": [1, 2], "name": "Bob"}', "```\nselect name from users\n```", "GPU", "\x00\ud800",
     "_" * 5000],
)  # fmt: skip
def test_it_says_nothing_where_there_is_no_language(both, text):
    assert language(text, both) is None


def test_wide_letters_are_letters(both):
    assert language("Ｗｈｅｒｅ　ｉｓ　ｍｙ　ｏｒｄｅｒ？", both) == "en"
    assert language("ＯＫ，我的订单在哪里", both) == "zh"


def test_it_tells_simplified_and_traditional_characters_apart(both):
    assert detect("請問怎麼修改收貨地址", USUAL, both).tag == "zh-Hant"
    assert detect("请问怎么修改收货地址", USUAL, both).tag == "zh-Hans"
    assert detect("你好", USUAL, both).tag == "zh"


def test_it_keeps_to_the_languages_it_is_asked_for(both):
    assert language("ありがとうございます", both, {"zh", "en"}) is None
    assert language("Где мой заказ?", both, {"zh", "en"}) is None
    assert language("Peux-tu m'écrire une lettre d'excuses pour mon voisin ?", both, {"zh", "en"}) is None
    assert language("Gdzie", both, {"en", "pl"}) == "pl"
    assert detect("東京", {"ja"}, both).language == "ja"


def test_a_short_text_goes_on_in_the_language_of_the_conversation(both):
    assert detect("東京", USUAL, both).language == "zh"
    assert detect("東京", USUAL, both, "ja").language == "ja"
    assert language("Where is my order, please? I ordered it last week.", both, before="es") == "en"


def test_without_models_the_script_decides_alone():
    assert detect("你好", USUAL, None).language == "zh"
    assert detect("안녕하세요", USUAL, None).language == "ko"
    assert detect("Where is my order?", USUAL, None) is None
    assert detect("Где мой заказ?", {"ru", "en"}, None).language == "ru"


def test_every_language_that_is_named_can_be_found(both):
    known = set(both._bayes.labels)
    by_model = [name for name in NAMES if name not in {"am", "el", "he", "ja", "ko", "zh"}]
    assert [name for name in by_model if name not in known] == []


@pytest.mark.parametrize(
    "hostile",
    ["a" * 100_000, "aA1" * 30_000, "`" * 50_000, "<a" * 50_000, "@" * 50_000, '"a' * 50_000, "e\u0301" * 50_000,
     "你" * 100_000, "a " * 50_000, "«" * 50_000, "\u0301" * 50_000],
)  # fmt: skip
def test_it_looks_at_a_bounded_part(both, hostile):
    assert len(read(hostile).text) <= 300
    spent = time.process_time()
    detect(hostile, USUAL, both)
    assert time.process_time() - spent < 0.1


def test_the_models_are_one_for_all_and_go_with_the_last_who_holds_them(both):
    assert models.load() is both
