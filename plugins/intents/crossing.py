"""Trains for a tenant, and finds out on texts the model has not seen how well it does: cross-validation."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from plugins.intents import elsewhere
from plugins.intents.model import IntentModel
from plugins.intents.training import Example, Judged, fit, look, with_judge
from plugins.intents.vectors import WordVectors

MANY: Final = 4_000  # examples from which two folds are enough
FEW: Final = 5  # examples an intent should have at the least
SHOWN: Final = 20  # confusions


class Confusion(msgspec.Struct, frozen=True):
    """Examples of `intent` that were taken for another; `taken_for` null: for none. `text` is one of them."""

    intent: str
    taken_for: str | None
    times: int
    text: str


class TrainingReport(msgspec.Struct, frozen=True, kw_only=True):
    """How a training went. Shares are of examples the model had not seen, null where there are too few to tell:
    `accuracy` of examples given their own intent, `rejected` of what is outside and was given none. `few`: intents with
    fewer than five examples. `threshold` is the one it found, `seconds` what it took."""

    intents: int
    utterances: int
    outside: int
    accuracy: float | None
    rejected: float | None
    threshold: float
    few: list[str]
    confusions: list[Confusion]
    seconds: float


class Tested(NamedTuple):
    """An example, and the best intent for a model that had not seen it."""

    intent: str
    text: str
    best: str


class Crossed(NamedTuple):
    """`judged` has the examples first, in the order of `tested`."""

    judged: Judged
    tested: list[Tested]


def trained(
    examples: Sequence[Example], own_outside: Sequence[str], vectors: WordVectors | None
) -> tuple[IntentModel, TrainingReport]:
    """A model of the examples, and how good it is."""
    began = time.perf_counter()
    outside = list(dict.fromkeys([*own_outside, *elsewhere.outside(text for text, _ in examples)]))
    found = crossed(examples, outside, vectors)
    model = fit(examples, outside, vectors)
    accuracy = rejected = None
    confusions: list[Confusion] = []
    if found is not None:
        seen = found.judged
        with_judge(model, seen)
        accepted = model.judge.probability(seen.signals) >= model.threshold
        inside = ~seen.outside
        accuracy = round(float((accepted & seen.right)[inside].mean()), 4)
        rejected = round(float((~accepted)[seen.outside].mean()), 4)
        confusions = _confusions(found.tested, accepted)
    counts = Counter(intent for _, intent in examples)
    report = TrainingReport(
        intents=len(counts),
        utterances=len(examples),
        outside=len(own_outside),
        accuracy=accuracy,
        rejected=rejected,
        threshold=round(model.threshold, 4),
        few=sorted(intent for intent, count in counts.items() if count < FEW),
        confusions=confusions,
        seconds=round(time.perf_counter() - began, 2),
    )
    return model, report


def crossed(examples: Sequence[Example], outside: Sequence[str], vectors: WordVectors | None) -> Crossed | None:
    """How models of the other folds see each fold. Each intent's examples are dealt out in turn, and so are the texts
    outside. None: no intent has two examples."""
    folds = 2 if len(examples) > MANY else 3
    places = _dealt([intent for _, intent in examples], folds)
    if max(places, default=0) == 0:
        return None
    judged: list[Judged] = []
    tested: list[Tested] = []
    for fold in range(folds):
        own = [example for example, place in zip(examples, places, strict=True) if place == fold]
        others = [example for example, place in zip(examples, places, strict=True) if place != fold]
        if not own:
            continue
        model = fit(others, _dealt_out(outside, folds, fold, own=False), vectors)
        judged.append(look(model, own, (), vectors))
        best = judged[-1].best
        tested += [Tested(intent, text, found) for (text, intent), found in zip(own, best, strict=True)]
        judged.append(look(model, (), _dealt_out(outside, folds, fold, own=True), vectors))
    judged.sort(key=lambda part: bool(part.outside.any()))  # examples first, in the order of `tested`
    return Crossed(
        Judged(
            np.concatenate([part.signals for part in judged]),
            np.concatenate([part.right for part in judged]),
            np.concatenate([part.outside for part in judged]),
            [best for part in judged for best in part.best],
        ),
        tested,
    )


def _dealt_out(texts: Sequence[str], folds: int, fold: int, *, own: bool) -> list[str]:
    return [text for at, text in enumerate(texts) if (at % folds == fold) is own]


def _dealt(labels: Sequence[str], folds: int) -> list[int]:
    counts: dict[str, int] = defaultdict(int)
    places = []
    for label in labels:
        places.append(counts[label] % folds)
        counts[label] += 1
    return places


def _confusions(tested: Sequence[Tested], accepted: npt.NDArray[np.bool_]) -> list[Confusion]:
    found: dict[tuple[str, str | None], list[str]] = defaultdict(list)
    for each, named in zip(tested, accepted[: len(tested)], strict=True):
        taken_for = each.best if named else None
        if taken_for != each.intent:
            found[each.intent, taken_for].append(each.text)
    most = sorted(found.items(), key=lambda each: (-len(each[1]), each[0][0], each[0][1] or ""))[:SHOWN]
    return [Confusion(intent, taken_for, len(texts), texts[0]) for (intent, taken_for), texts in most]
