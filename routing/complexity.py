"""How much model a text needs, in 0..1, from its words alone: no network, no tokenizer, a few microseconds.

A logistic model over counts of signs. A text's words are looked up in `routing.vocabulary`, in English word by word, in
Chinese by pairs of characters; a group counts with the number of its different words, with diminishing returns. To
these come length, numbers, names, mathematical signs, and what the text orders to be done: a task, or an errand such as
"translate" and "fix the typos", which makes a text easy whatever it speaks of (its other signs count a third).

There are two weights for each sign, since a question whose answer is to be a letter (options "A. …" on lines of their
own, then "Answer:") asks something else: there calculating gains nothing from a stronger model, judging does. Options
without a word of how to answer lie between the two.

docs/routing.md names the answers of a weak and a strong model the weights stand on, the method and what was measured.
They rank texts; a score is not the probability of anything.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from operator import mul
from typing import Final

from routing import vocabulary

FRONT: Final = 3000  # characters read at the beginning of a text,
BACK: Final = 1000  # and at its end; what lies between counts as length alone

_GROUPS: Final = (  # the words, the weight of a group's first word; and its weight where a letter is wanted
    (vocabulary.PROVING, 3.6, 0.0),
    (vocabulary.ANALYSING, 1.1, 0.0),
    (vocabulary.BUILDING, 1.3, 0.8),
    (vocabulary.CODING, 0.3, 0.0),
    (vocabulary.MATHS, 0.3, 0.0),
    (vocabulary.PHYSICS, 0.3, 0.2),
    (vocabulary.LIFE, 0.1, 0.0),
    (vocabulary.FINANCE, 0.2, 0.0),
    (vocabulary.LAW, 0.2, 0.0),
    (vocabulary.CASES, 0.18, 0.0),
    (vocabulary.LOGIC, 0.7, 0.3),
    (vocabulary.JUDGING, 0.35, 0.45),
    (vocabulary.CONDITIONS, 0.08, 0.0),
    (vocabulary.COMPARING, 0.45, 0.0),
    (vocabulary.ORIGINS, 0.5, 0.0),
    (vocabulary.QUANTITIES, 0.06, 0.28),
    (vocabulary.RECALL, -0.55, 0.0),
    (vocabulary.SMALL_TALK, -1.4, 0.0),
)
_TASKS: Final = 3  # the first groups: words for what is to be done
_LENGTH: Final = (1.0, 0.5)  # times log(1 + bytes / 60)
_NUMBERS: Final = (0.35, 0.0)  # times log(numbers), of at most 4
_NAMES: Final = (0.4, 0.0)  # times log(1 + names inside sentences) where there are numbers
_FORMULA: Final = (0.18, 0.0)  # a different sign of formulas, at most 5
_FORMAL: Final = (0.18, 1.1)  # a different sign of formal logic, at most 2
_NUMERIC: Final = (0.0, -1.8)  # times the share of options that are numbers
_TASK: Final = 0.7
_ERRAND: Final = -2.0
_OF_AN_ERRAND: Final = 0.35
_BIAS: Final = (-2.2, -1.4)

_ORDER: Final = 8  # words (Chinese: twice as many characters) at the beginning that say what is to be done,
_LONG: Final = 300  # and in a text longer than this those at its end
_SIGN: Final = re.compile(r"[\^=∑∫√∞≤≥≠≈∂∇∈∀∃×÷→∏⊃∨∧¬≡\\<|+{}`#\[\]]")
_IS_FORMAL: Final = frozenset("∀∃⊃∨∧¬≡→|")
_NAME: Final = re.compile("[a-z,] ([A-Z][a-z]+)")
_OPTION: Final = re.compile(r"\n *\(?[A-H][.):、：] *((?:\\[a-z]+\{|[^\w\n]){0,3}\d)?")
_DIMINISHING: Final = tuple(min(count, 12) ** 0.7 for count in range(1000))
_LETTERS: Final = {code: chr(code).lower() if chr(code).isalnum() else " " for code in range(128)}  # of ASCII

_GROUP_OF: Final = {  # of two groups with the same word the earlier one has it
    word: number
    for number, ((english, chinese), *_) in reversed([*enumerate(_GROUPS)])
    for word in (*vocabulary.forms(english), *chinese.split())
}
_KNOWN: Final = frozenset(_GROUP_OF)
_ERRANDS: Final = frozenset((*vocabulary.forms(vocabulary.ERRANDS[0]), *vocabulary.ERRANDS[1].split()))
_CHINESE: Final = sorted(word for word in _KNOWN | _ERRANDS if not word.isascii())
_PAIR: Final = re.compile("(?=([{}][{}]))".format(*("".join({word[place] for word in _CHINESE}) for place in (0, 1))))
_OPEN, _LETTER, _BETWEEN = range(3)  # which weights: a text, a question that wants a letter, one with options else


def _three(weights: Sequence[float]) -> tuple[float, float, float]:
    return weights[0], weights[1], 0.7 * weights[0] + 0.3 * weights[1]


_WEIGHTS: Final = tuple(
    zip(
        *map(_three, (_LENGTH, _NUMBERS, _NAMES, _FORMULA, _FORMAL, _NUMERIC)),
        *(_three(weights) for _, *weights in _GROUPS),
        strict=True,
    )
)
_BIASES: Final = _three(_BIAS)


def complexity_score(text: str) -> float:
    """0 is a greeting, 1 a long chain of reasoning; an empty text is 0. The work is bounded whatever the length."""
    seen = text if len(text) <= FRONT + BACK else f"{text[:FRONT]} {text[-BACK:]}"
    if not seen or seen.isspace():
        return 0.0
    signs, order, kind = _measure(text, seen)
    strength = sum(map(mul, signs, _WEIGHTS[kind]))
    if order < 0:
        strength = strength * _OF_AN_ERRAND + _ERRAND
    elif order:
        strength += _TASK
    return round(1 / (1 + math.exp(-strength - _BIASES[kind])), 4)


def _measure(text: str, seen: str) -> tuple[list[float], int, int]:
    """The signs that have weights, what the text orders (`_order`), and which weights go for it."""
    if seen.isascii():
        size = len(text)
        words = seen.translate(_LETTERS).split()
        known = _KNOWN.intersection(words)
        order = _order(words[:_ORDER], words[-_ORDER:] if size > _LONG else ())
    else:
        size = len(seen.encode("utf-8", "surrogatepass")) * len(text) // len(seen)
        words = seen.encode("ascii", "replace").decode().translate(_LETTERS).split()
        pairs = _PAIR.findall(seen)
        known = _KNOWN.intersection(words) | _KNOWN.intersection(pairs)
        order = _order_of_mixed(seen, words, size)
    counts = [0] * len(_GROUPS)
    for word in known:
        counts[_GROUP_OF[word]] += 1
    options = _OPTION.findall(seen) if seen.count("\n") > 2 else ()
    numbers = sum(map(str.isdigit, words))
    marks = {*_SIGN.findall(seen)}
    formal = len(marks & _IS_FORMAL)
    signs = [
        math.log1p(size / 60),
        math.log(min(max(numbers, 1), 4)),
        math.log1p(min(len({*_NAME.findall(seen)}), 8)) if numbers > 1 else 0.0,
        min(len(marks) - formal, 5),
        min(formal, 2),
        sum(map(bool, options)) / len(options) if options else 0.0,
        *map(_DIMINISHING.__getitem__, counts),
    ]
    if len(options) < 3 or order > 0:  # "Prove A, B and C" is no question with options
        return signs, order, _OPEN
    return signs, order, _LETTER if _wants_a_letter(seen) else _BETWEEN


def _wants_a_letter(text: str) -> bool:
    end = text[-80:].lower().rstrip(" \n:：.*_")
    return end.endswith(("answer", "answer is", "答案", "答案是")) or "letter" in end or "字母" in end


def _order(first: Sequence[str], last: Sequence[str]) -> int:
    """-1 an errand, 1 a task, 0 neither. The first word that is one decides, then the last words are asked."""
    for word in first:
        if word in _ERRANDS:
            return -1
        if _GROUP_OF.get(word, _TASKS) < _TASKS:
            return 1
    return 0 if _ERRANDS.isdisjoint(last) else -1


def _order_of_mixed(text: str, words: list[str], size: int) -> int:
    """The same of a text with Chinese in it."""
    first, last = _PAIR.findall(text[: 2 * _ORDER]), ()
    if size > _LONG:
        last = (*_PAIR.findall(text[-2 * _ORDER :]), *words[-_ORDER:])
    return _order(first, ()) or _order(words[:_ORDER], last)
