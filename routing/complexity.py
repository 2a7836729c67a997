"""How much model a text needs, in 0..1, from its words alone: no network, no tokenizer, a few microseconds.

A logistic model over counts of signs. A text's words are looked up in `routing.vocabulary`, in English word by word, in
Chinese by pairs of characters; a group counts with the number of its different words, with diminishing returns. To
these come length, numbers, mathematical signs, and what the text orders to be done: a task, or an errand such as
"translate" and "fix the typos", which makes a text easy whatever it speaks of (its other signs count a third).

The weights were fitted by ridge regression towards values set by hand; docs/routing.md names the data, the method and
what was measured. They rank texts; a score is not the probability of anything.
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

_GROUPS: Final = (  # the words, the weight of a group's first word
    (vocabulary.PROVING, 3.6),
    (vocabulary.ANALYSING, 1.1),
    (vocabulary.BUILDING, 1.3),
    (vocabulary.CODING, 0.3),
    (vocabulary.MATHS, 0.4),
    (vocabulary.PHYSICS, 0.45),
    (vocabulary.LIFE, 0.1),
    (vocabulary.FINANCE, 0.4),
    (vocabulary.LAW, 0.2),
    (vocabulary.CASES, 0.18),
    (vocabulary.LOGIC, 0.7),
    (vocabulary.JUDGING, 0.35),
    (vocabulary.CONDITIONS, 0.08),
    (vocabulary.QUANTITIES, 0.33),
    (vocabulary.RECALL, -0.55),
    (vocabulary.SMALL_TALK, -1.4),
)
_TASKS: Final = 3  # the first groups: words for what is to be done
_LENGTH: Final = 0.75  # times log(1 + bytes / 60)
_NUMBERS: Final = 0.63  # times log(numbers), of at most 20
_SIGNED: Final = 0.18  # a different sign, at most 5
_TASK: Final = 0.7
_ERRAND: Final = -2.0
_OF_AN_ERRAND: Final = 0.35
_BIAS: Final = -2.05

_ORDER: Final = 8  # words (Chinese: twice as many characters) at the beginning that say what is to be done,
_LONG: Final = 300  # and in a text longer than this those at its end
_SIGN: Final = re.compile(r"[\^=∑∫√∞≤≥≠≈∂∇∈∀∃×÷→∏⊃∨∧¬≡\\<|+{}`#\[\]]")
_DIMINISHING: Final = tuple(min(count, 12) ** 0.7 for count in range(1000))
_LETTERS: Final = {code: chr(code).lower() if chr(code).isalnum() else " " for code in range(128)}  # of ASCII

_GROUP_OF: Final = {  # of two groups with the same word the earlier one has it
    word: number
    for number, ((english, chinese), _) in reversed([*enumerate(_GROUPS)])
    for word in (*vocabulary.forms(english), *chinese.split())
}
_KNOWN: Final = frozenset(_GROUP_OF)
_ERRANDS: Final = frozenset((*vocabulary.forms(vocabulary.ERRANDS[0]), *vocabulary.ERRANDS[1].split()))
_CHINESE: Final = sorted(word for word in _KNOWN | _ERRANDS if not word.isascii())
_PAIR: Final = re.compile("(?=([{}][{}]))".format(*("".join({word[place] for word in _CHINESE}) for place in (0, 1))))
_WEIGHTS: Final = (_LENGTH, _NUMBERS, _SIGNED, *(weight for _, weight in _GROUPS))


def complexity_score(text: str) -> float:
    """0 is a greeting, 1 a long chain of reasoning; an empty text is 0. The work is bounded whatever the length."""
    seen = text if len(text) <= FRONT + BACK else f"{text[:FRONT]} {text[-BACK:]}"
    if not seen or seen.isspace():
        return 0.0
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
    signs = (
        math.log1p(size / 60),
        math.log(min(max(sum(map(str.isdigit, words)), 1), 20)),
        min(len(set(_SIGN.findall(seen))), 5),
        *map(_DIMINISHING.__getitem__, counts),
    )
    strength = sum(map(mul, signs, _WEIGHTS))
    if order < 0:
        strength = strength * _OF_AN_ERRAND + _ERRAND
    elif order:
        strength += _TASK
    return round(1 / (1 + math.exp(-strength - _BIAS)), 4)


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
