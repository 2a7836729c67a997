import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.features import complexity_score

PLAIN = [
    "hi",
    "你好",
    "What is the capital of France?",
    "法国的首都是哪里？",
    "Translate 'good morning' to Spanish.",
    "把“早上好”翻译成英文",
    "How do I deploy Clawdbot?",
    "今天天气怎么样",
]
HARD = [
    "Implement a lock-free concurrent queue in C++ and analyze its complexity; explain the memory ordering.",
    "请设计一个分布式一致性算法，并证明其正确性，分析时间复杂度，比较与Raft的区别。",
    "Prove by induction that the sum of the first n odd numbers is n^2, then derive a closed form for the cubes.",
    "用归纳法证明前n个奇数之和等于n^2，并推导立方和的公式，分析每一步的原理。",
]


@pytest.mark.parametrize("text", PLAIN)
def test_it_scores_plain_questions_low(text):
    assert complexity_score(text) < 0.3


@pytest.mark.parametrize("text", HARD)
def test_it_scores_hard_questions_above_the_usual_threshold(text):
    assert complexity_score(text) > 0.8


@pytest.mark.parametrize("text", ["", "   \n"])
def test_it_scores_nothing_zero(text):
    assert complexity_score(text) == 0.0


@given(st.text(max_size=300))
def test_it_scores_any_text(text):
    assert 0.0 <= complexity_score(text) <= 1.0


def test_it_bears_lone_surrogates():
    assert 0.0 <= complexity_score("\ud800 why") <= 1.0


def test_it_is_bounded_for_long_texts():
    assert complexity_score("lorem ipsum " * 100_000) <= 1.0


def test_it_needs_no_django():
    code = (
        "import sys; from routing.features import complexity_score; assert complexity_score('why') > 0;"
        "assert not [name for name in sys.modules if name.split('.')[0] in ('django', 'routing.models')]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
