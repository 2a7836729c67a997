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
from collections.abc import Iterable, Sequence
from typing import Final

from ahocorasick_rs import AhoCorasick, Implementation, MatchKind

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
_LETTERS: Final = "".join(chr(code).lower() if chr(code).isalnum() else " " for code in range(128)).encode() * 2
# Of ASCII, what is neither a digit nor a sign of formulas.
_WORDING: Final = bytes(code for code in range(128) if not chr(code).isdigit() and not _SIGN.match(chr(code)))

_GROUP_OF: Final = {  # of two groups with the same word the earlier one has it
    word: number
    for number, ((english, chinese), *_) in reversed([*enumerate(_GROUPS)])
    for word in (*vocabulary.forms(english), *chinese.split())
}
_KNOWN: Final = frozenset(_GROUP_OF)
_ERRANDS: Final = frozenset((*vocabulary.forms(vocabulary.ERRANDS[0]), *vocabulary.ERRANDS[1].split()))
# What a word orders: -1 an errand, 1 a task.
_ORDERS: Final = {word: 1 for word, number in _GROUP_OF.items() if number < _TASKS} | dict.fromkeys(_ERRANDS, -1)
_PAIRS: Final = AhoCorasick(
    sorted(word for word in _KNOWN | _ERRANDS if not word.isascii()),
    matchkind=MatchKind.Standard,
    store_patterns=True,
    implementation=Implementation.DFA,
)
_SCORED: Final = 16_384  # scores that are remembered
_scores: dict[int, float] = {}
_OPEN, _LETTER, _BETWEEN = range(3)  # which weights: a text, a question that wants a letter, one with options else


def _three(weights: Sequence[float]) -> tuple[float, float, float]:
    return weights[0], weights[1], 0.7 * weights[0] + 0.3 * weights[1]


# By which weights go: those of the signs, then those of the groups.
_WEIGHTS: Final = tuple(zip(*map(_three, (_LENGTH, _NUMBERS, _NAMES, _FORMULA, _FORMAL, _NUMERIC)), strict=True))
_GROUP_WEIGHTS: Final = tuple(zip(*(_three(weights) for _, *weights in _GROUPS), strict=True))
_LOGARITHMS: Final = (0.0, *map(math.log, range(1, 5)))
_BIASES: Final = _three(_BIAS)


def complexity_score(text: str, *, said_before: bool = False) -> float:
    """0 is a greeting, 1 a long chain of reasoning; an empty text is 0. The work is bounded whatever the length.

    `said_before`: in an earlier turn of a session, so the score may be remembered. That is by a hash, so that nobody's
    text stays in memory for it."""
    size = len(text)
    seen = text if size <= FRONT + BACK else f"{text[:FRONT]} {text[-BACK:]}"
    key = hash((seen, size))
    score = _scores.get(key) if said_before else None
    if score is None:
        if len(_scores) >= _SCORED:
            _scores.clear()
        score = _scores[key] = _score(seen, size)
    return score


def _score(seen: str, size: int) -> float:
    """`size`: characters of the whole text."""
    if not seen or seen.isspace():
        return 0.0
    strength, order, kind = _measure(seen, size)
    if order < 0:
        strength = strength * _OF_AN_ERRAND + _ERRAND
    elif order:
        strength += _TASK
    return round(1 / (1 + math.exp(-strength - _BIASES[kind])), 4)


def _measure(seen: str, size: int) -> tuple[float, int, int]:
    """The weighted sum of the signs, what the text orders (`_order`), and which weights go for it."""
    if seen.isascii():
        data = seen.encode()
        words = data.translate(_LETTERS).decode().split()
        known = _KNOWN.intersection(words)
        order = _order(words[:_ORDER], words[-_ORDER:] if size > _LONG else ())
        rest = data.translate(None, _WORDING)  # of most texts nothing
        marks = set() if rest.isdigit() or not rest else {*_SIGN.findall(rest.decode())}
        numbers = sum(map(str.isdigit, words)) if rest else 0
    else:
        size = len(seen.encode("utf-8", "surrogatepass")) * size // len(seen)
        words = seen.encode("ascii", "replace").translate(_LETTERS).decode().split()
        known = _KNOWN.intersection(words).union(_KNOWN.intersection(_pairs(seen)))
        order = _order_of_mixed(seen, words, size)
        marks = {*_SIGN.findall(seen)}
        numbers = sum(map(str.isdigit, words))
    formal = len(marks & _IS_FORMAL) if marks else 0
    options = _OPTION.findall(seen) if seen.count("\n") > 2 else ()
    kind = _OPEN
    if len(options) >= 3 and order <= 0:  # "Prove A, B and C" is no question with options
        kind = _LETTER if _wants_a_letter(seen) else _BETWEEN
    length_weight, numbers_weight, names_weight, formula_weight, formal_weight, numeric_weight = _WEIGHTS[kind]
    strength = math.log1p(size / 60) * length_weight
    if numbers > 1:
        strength += _LOGARITHMS[min(numbers, 4)] * numbers_weight
        strength += math.log1p(min(len({*_NAME.findall(seen)}), 8)) * names_weight
    if marks:
        strength += min(len(marks) - formal, 5) * formula_weight
        strength += min(formal, 2) * formal_weight
    if options:
        strength += sum(map(bool, options)) / len(options) * numeric_weight
    return _with_groups(strength, known, kind) if known else strength, order, kind


def _wants_a_letter(text: str) -> bool:
    end = text[-80:].lower().rstrip(" \n:：.*_")
    return end.endswith(("answer", "answer is", "答案", "答案是")) or "letter" in end or "字母" in end


def _with_groups(strength: float, known: Iterable[str], kind: int) -> float:
    counts: dict[int, int] = {}
    for word in known:
        number = _GROUP_OF[word]
        counts[number] = counts.get(number, 0) + 1
    weights = _GROUP_WEIGHTS[kind]
    for number in sorted(counts):
        strength += _DIMINISHING[counts[number]] * weights[number]
    return strength


def _pairs(text: str) -> list[str]:
    try:
        found: list[str] = _PAIRS.find_matches_as_strings(text, overlapping=True)
    except UnicodeEncodeError:  # half a character
        found = _PAIRS.find_matches_as_strings(text.encode("utf-8", "replace").decode(), overlapping=True)
    return found


def _order(first: Sequence[str], last: Sequence[str]) -> int:
    """-1 an errand, 1 a task, 0 neither. The first word that is one decides, then the last words are asked."""
    order = next(filter(None, map(_ORDERS.get, first)), 0)
    return order or (0 if _ERRANDS.isdisjoint(last) else -1)


def _order_of_mixed(text: str, words: list[str], size: int) -> int:
    """The same of a text with Chinese in it."""
    last = (*_pairs(text[-2 * _ORDER :]), *words[-_ORDER:]) if size > _LONG else ()
    return _order(_pairs(text[: 2 * _ORDER]), ()) or _order(words[:_ORDER], last)
