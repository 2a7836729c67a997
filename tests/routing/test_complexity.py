import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing import complexity
from routing.features import complexity_score, conversation_score
from tests.routing.pairs import CHINESE, ENGLISH, LONG_BUT_EASY

PLAIN = [
    "hi",
    "你好",
    "What is the capital of France?",
    "法国的首都是哪里？",
    "Translate 'good morning' to Spanish.",
    "把“早上好”翻译成英文",
    "How do I deploy Clawdbot?",
    "今天天气怎么样",
    *(easy for easy, _ in CHINESE),
    *(easy for easy, _ in ENGLISH if "How many" not in easy),
    *LONG_BUT_EASY,
]
HARD = [
    "Implement a lock-free concurrent queue in C++ and analyze its complexity; explain the memory ordering.",
    "请设计一个分布式一致性算法，并证明其正确性，分析时间复杂度，比较与Raft的区别。",
    "Prove by induction that the sum of the first n odd numbers is n^2, then derive a closed form for the cubes.",
    "用归纳法证明前n个奇数之和等于n^2，并推导立方和的公式，分析每一步的原理。",
    "Prove that √2 is irrational",
    "证明根号2是无理数",
    "證明質數有無窮多個",
    "Design a distributed rate limiter and discuss its failure modes.",
    "设计一个分布式限流器，并分析其故障模式",
    "Write a comprehensive analysis of the reform with arguments for and against, and justify your conclusion.",
    "撰写一份详细的分析报告，评估这项改革的利弊",
    "Refactor this class to be thread-safe and explain the race conditions you removed.",
]


@pytest.mark.parametrize("text", PLAIN)
def test_it_scores_plain_questions_low(text):
    assert complexity_score(text) < 0.3


@pytest.mark.parametrize("text", HARD)
def test_it_scores_hard_questions_above_the_usual_threshold(text):
    assert complexity_score(text) > 0.8


@pytest.mark.parametrize(("easy", "hard"), ENGLISH + CHINESE)
def test_it_ranks_the_harder_of_two_higher(easy, hard):
    assert complexity_score(easy) < complexity_score(hard)


def test_it_holds_a_long_errand_below_a_short_proof():
    assert max(map(complexity_score, LONG_BUT_EASY)) < complexity_score("Prove Fermat's little theorem.")


@pytest.mark.parametrize(("easy", "hard"), [(ENGLISH[3]), (ENGLISH[13]), (CHINESE[3]), (CHINESE[11])])
@pytest.mark.parametrize(
    "pad", ["  {}  ", "\n\n{}\n\n", "{}!!!", "👍 {} 🙏🙏", "{}" + "." * 200, "{}" + "\u200b" * 20, "\t{}\r\n", "> {}"]
)
def test_it_is_not_fooled_by_padding(easy, hard, pad):
    assert complexity_score(pad.format(easy)) < min(0.45, complexity_score(pad.format(hard)))


@pytest.mark.parametrize("text", ["🎉🎉🎉", "42", "Answer:", "?!?!", "1+1=?", "。。。", "ok 👍", "\x00", "lol " * 50])
def test_it_finds_little_in_little(text):
    assert complexity_score(text) < 0.3


def test_it_says_an_order_before_what_is_ordered_upon():
    proof = "Prove that every bounded monotone sequence converges."
    assert complexity_score(f"Translate to Spanish: {proof}") < 0.3 < 0.8 < complexity_score(proof)
    assert complexity_score("Translate this C++ code to Rust") > complexity_score("Translate this note to Dutch")


def test_it_rises_with_the_steps_of_a_problem():
    one = "Nora has 5 pens and buys 3 more. How many pens does she have?"
    two = one.replace("How many", "She gives half of them to each of her 2 brothers. How many")
    three = two.replace("How many", "Then she sells 1 for $4 and spends 25% of it. How many")
    assert complexity_score(one) < complexity_score(two) < complexity_score(three)


def test_it_takes_the_same_signs_in_both_scripts():
    assert complexity_score("分析死鎖並優化演算法的複雜度") > 0.8
    assert complexity_score("用Python实现LRU缓存，explain the complexity") > 0.8


def asked(question, *options, form="{}. {}", end="Answer:"):
    return "\n".join([question, *map(form.format, "ABCDEFGH", options), end])


@pytest.mark.parametrize("form", ["{}. {}", "({}) {}", "{}) {}", "{}: {}", "{}、{}", "  {}. {}"])
@pytest.mark.parametrize(
    ("question", "numbers", "words"),
    [
        ("Which value does x take?", ("12", "$15", "18%", "-3"), ("the first", "the next", "no such", "any value")),
        ("x取哪个值？", ("12", "15元", "18%", "-3"), ("第一个", "第二个", "都没有", "任意值")),
    ],
)
def test_it_tells_options_that_are_numbers_from_those_in_words(question, numbers, words, form):
    assert complexity_score(asked(question, *numbers, form=form)) < complexity_score(asked(question, *words, form=form))


def test_it_finds_judging_harder_than_looking_up_among_options():
    capital = asked("What is the capital of Peru?", "Lima", "Quito", "Bogota", "Caracas")
    judged = asked(
        "Statement 1 | Every ring is a field. Statement 2 | Every field is a ring.",
        *("True, True", "True, False", "False, True", "False, False"),
    )
    assert complexity_score(capital) < 0.4 < 0.7 < complexity_score(judged)


@pytest.mark.parametrize("end", ["Answer:", "The answer is", "答案：", "Reply with the letter only.", "请只回答字母。"])
def test_it_takes_a_calculation_for_harder_when_more_than_a_letter_is_wanted(end):
    question = "A 5 kg mass on a spring oscillates at 2 Hz. What is the spring constant, in N/m?"
    options = "789.6", "62.8", "395", "12"
    letter, unsaid, alone = asked(question, *options, end=end), asked(question, *options, end=""), question
    assert complexity_score(letter) < 0.25 < complexity_score(unsaid) < complexity_score(alone)


def test_it_takes_lettered_parts_of_a_task_for_no_options():
    parts = "{}\nA. Every third hat is red.\nB. Every bounded row of hats ends.\nC. There are hats for all.\nAnswer:"
    assert complexity_score(parts.format("Prove:")) > 0.8
    assert complexity_score(parts.format("请证明：")) > 0.8
    assert complexity_score(parts.format("Tick one:")) < 0.5


def test_it_follows_comparisons_and_reversals_in_a_word_problem():
    plain = "Nora has 12 pens and her brother Ravi has 9 pens. How many pens do they have {}?"
    assert complexity_score(plain.format("in total")) < complexity_score(
        plain.replace("9 pens", "twice fewer than she").format("in total")
    )
    assert complexity_score(plain.format("in total now")) < complexity_score(plain.format("before they started"))


def test_it_counts_names_only_where_there_are_numbers():
    few, many = ("On the way {} and {} met {}." + end for end in ("", " They had 4 and 9 pens."))
    once, all_different = ("Nora",) * 3, ("Nora", "Ravi", "Lena")
    assert complexity_score(few.format(*once)) == complexity_score(few.format(*all_different))
    assert complexity_score(many.format(*once)) < complexity_score(many.format(*all_different))


@pytest.mark.parametrize(
    "text", ["\nA.\nB.\nC.", "\n(B", "\nB" * 5000, "\nA. \\frac{" * 300, "\nA. 1" * 300, "\nB\n \x00A.\ud800"]
)
def test_it_bears_what_only_looks_like_options(text):
    assert 0.0 <= complexity_score(text) <= 1.0


@pytest.mark.parametrize("text", ["", "   \n"])
def test_it_scores_nothing_zero(text):
    assert complexity_score(text) == 0.0


@given(st.text(max_size=300))
def test_it_scores_any_text(text):
    assert 0.0 <= complexity_score(text) <= 1.0


def test_it_bears_lone_surrogates():
    assert 0.0 <= complexity_score("\ud800 why") <= 1.0


def test_it_is_bounded_for_long_texts():
    ends = "lorem ipsum √ " * 400
    dull, hard = (f"{ends}{middle * 100_000}{ends}" for middle in ("lorem ipsum ", "prove it now"))
    assert complexity_score(dull) == complexity_score(hard) <= 1.0


def test_it_needs_no_django():
    code = (
        "import sys; from routing.features import complexity_score; assert complexity_score('why') > 0;"
        "assert not [name for name in sys.modules if name.split('.')[0] in ('django', 'routing.models')]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("text", ["证明\ud800根号2是无理数", "Prove it \udfff", "\ud800"])
def test_it_reads_a_text_with_half_a_character(text):
    assert (complexity_score(text) > 0.5) is text.startswith(("证明", "Prove"))


def test_it_remembers_scores_and_no_texts(monkeypatch):
    monkeypatch.setattr(complexity, "_SCORED", 100)
    texts = [f"Prove lemma {number} of {number * 7}, then Zorn's and Bob's." for number in range(300)]
    once = list(map(complexity_score, texts))
    assert [complexity_score(text, said_before=True) for text in texts] == once
    assert conversation_score(reversed(texts[-4:])) == once[-1]
    assert len(complexity._scores) <= 100
    monkeypatch.setattr(complexity, "_score", lambda seen, size: pytest.fail("it was asked before"))
    assert complexity_score(texts[-1], said_before=True) == once[-1]
    assert all(type(key) is int and type(score) is float for key, score in complexity._scores.items())


def test_it_tells_long_texts_that_are_alike_at_both_ends_apart():
    short, long = ("Prove it. " + "a" * size + " Thanks." for size in (5_000, 50_000))
    assert complexity_score(short) < complexity_score(long)
