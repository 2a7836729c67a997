"""How much model a text needs, in 0..1, from its words alone: no network, no tokenizer, a few microseconds.

A logistic sum over signs in English and Chinese: length, code, mathematics, words of reasoning and of construction,
parts of a question, and, against it, greetings and questions for a single fact. The weights are set by hand.
"""

from __future__ import annotations

import math
import re
from typing import Final

READ = 4000  # characters looked at; what lies behind only counts as length

_WORDS: Final = re.compile(r"[a-z]{3,}")

_REASONING: Final = frozenset(
    """prove proof derive derivation theorem lemma explain why analyze analyse analysis reason reasoning deduce infer
    compare contrast evaluate assess justify critique tradeoff tradeoffs implications optimize optimise optimal
    complexity algorithm asymptotic probability integral derivative equation equations inequality matrix eigenvalue
    polynomial convergence hypothesis paradox counterexample induction contradiction diagnose debug deadlock race
    concurrency distributed consensus architecture prime primes irrational recursion recursive optimization""".split()
)
_BUILDING: Final = frozenset(
    """implement design refactor write build create develop program function class algorithm code script query schema
    architect plan strategy essay report step steps detailed thoroughly comprehensive constraints requirements
    migrate rewrite optimize test tests unit""".split()
)
_PLAIN: Final = frozenset(
    """hello thanks thank bye please okay capital translate spell when who where weather time date name""".split()
)
_REASONING_ZH: Final = frozenset(
    """证明 推导 推理 为什 为何 分析 论证 比较 对比 区别 评估 权衡 优缺 原理 定理 引理 算法 复杂 优化 概率 方程 积分
    导数 矩阵 特征 收敛 归纳 反证 悖论 假设 推断 诊断 调试 死锁 并发 分布 一致 架构 质数 素数 递归 无理
    證明 推導 為什 優化 複雜""".split()
)
_BUILDING_ZH: Final = frozenset(
    """实现 设计 重构 编写 写一 撰写 开发 函数 代码 脚本 方案 计划 策略 论文 报告 步骤 详细 全面 约束 要求 规划 解释
    测试 測試 實現 設計 詳細""".split()
)
_PLAIN_ZH: Final = frozenset("你好 您好 谢谢 再见 早上 晚安 首都 翻译 天气 几点 是谁 在哪 哪里 多少 謝謝".split())
_CHINESE: Final = re.compile("|".join(sorted(_REASONING_ZH | _BUILDING_ZH | _PLAIN_ZH)))

_CODE: Final = (
    "```",
    "def ",
    "();",
    " => ",
    "import ",
    "select ",
    "class ",
    "#include",
    "{\n",
    "==",
    "</",
    "traceback",
)
_MATHS: Final = tuple("^=∑∫√∞≤≥≠≈∂∇∈∀∃×÷→∏")
_DIGITS: Final = tuple("0123456789")
_SEPARATORS: Final = tuple("?？;；\n")

_BIAS: Final = -2.7
_LENGTH: Final = 0.62
_REASONS: Final = 1.3
_BUILDS: Final = 0.75
_CODED: Final = 0.9
_MATHEMATICAL: Final = 0.45
_NUMERIC: Final = 0.12
_SEVERAL: Final = 0.3
_SIMPLE: Final = -0.75


def complexity_score(text: str) -> float:
    """0: a greeting; 1: a long chain of reasoning. An empty text is 0."""
    if not text or text.isspace():
        return 0.0
    seen = text[:READ].lower()
    size = len(text)
    words = set(_WORDS.findall(seen))
    reasons, builds, plain = len(words & _REASONING), len(words & _BUILDING), len(words & _PLAIN)
    if not seen.isascii():
        size = max(
            size, len(text.encode("utf-8", "surrogatepass"))
        )  # a Chinese character says as much as three letters
        words = set(_CHINESE.findall(seen))
        reasons += len(words & _REASONING_ZH)
        builds += len(words & _BUILDING_ZH)
        plain += len(words & _PLAIN_ZH)
    strength = (
        _BIAS
        + _LENGTH * math.log1p(size / 60)
        + _REASONS * min(reasons, 4)
        + _BUILDS * min(builds, 4)
        + _CODED * min(_held(_CODE, seen), 3)
        + _MATHEMATICAL * min(_held(_MATHS, seen), 4)
        + _NUMERIC * min(_held(_DIGITS, seen), 5)
        + _SEVERAL * min(sum(map(seen.count, _SEPARATORS)), 4)
        + (_SIMPLE * min(plain, 2) if not reasons else 0.0)
    )
    return round(1 / (1 + math.exp(-strength)), 4)


def _held(signs: tuple[str, ...], text: str) -> int:
    """How many of the signs occur."""
    return sum(map(text.__contains__, signs))
