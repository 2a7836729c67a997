"""Measures the classifier on a labelled file, in the form of the CLINC150 data set: `train`, `val`, `test`,
`oos_train`, `oos_val`, `oos_test`, each a list of `[text, label]`. Texts of the `oos` parts are none of the
intents, whatever their label says; a label of another part that is `oos` is taken to say so as well.

Trains on `train` (and `oos_train`), chooses the threshold on `val` and `oos_val`, measures on `test` and `oos_test`."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from plugins.intents import elsewhere
from plugins.intents.crossing import crossed
from plugins.intents.model import IntentModel
from plugins.intents.training import Example, fit, look, with_judge
from plugins.intents.vectors import WordVectors

PARTS: Final = ("train", "val", "test", "oos_train", "oos_val", "oos_test")
OUTSIDE: Final = "oos"
IN_SCOPE: Final = 0.929  # what a threshold is chosen for where nothing else is demanded
OOS_RECALL: Final = 0.60


class UnusableFile(ValueError):
    """Not such a file; the message says where."""


class Evaluation(msgspec.Struct, frozen=True):
    """Shares from 0 to 1. `in_scope_accuracy`: test texts given their own intent, of all in-scope ones; one that was
    given none counts as wrong. `oos_recall`: texts outside that were given none; null where the file has none."""

    in_scope_accuracy: float
    oos_recall: float | None


class Labelled(msgspec.Struct, frozen=True):
    """A file, sorted: for each of train, val and test the examples and the texts outside."""

    train: list[Example]
    val: list[Example]
    test: list[Example]
    oos_train: list[str]
    oos_val: list[str]
    oos_test: list[str]


def read(data: bytes) -> Labelled:
    """Raises UnusableFile."""
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnusableFile(f"not JSON: {error}") from None
    if not isinstance(document, dict):
        raise UnusableFile("expected an object with train, val, test, oos_train, oos_val, oos_test")
    parts = {name: _pairs(name, document.get(name, [])) for name in PARTS}
    sorted_parts: dict[str, Any] = {}
    for name in ("train", "val", "test"):
        sorted_parts[name] = [(text, label) for text, label in parts[name] if label != OUTSIDE]
        sorted_parts[f"oos_{name}"] = [text for text, _ in parts[f"oos_{name}"]] + [
            text for text, label in parts[name] if label == OUTSIDE
        ]
    for name in ("train", "test"):
        if not sorted_parts[name]:
            raise UnusableFile(f"{name}: there are no examples")
    strange = {label for _, label in sorted_parts["test"]} - {label for _, label in sorted_parts["train"]}
    if strange:
        raise UnusableFile(f"test: no example in train has the label {min(strange)!r}")
    return Labelled(**sorted_parts)


def evaluate(
    labelled: Labelled, vectors: WordVectors | None, *, in_scope: float | None = None, oos_recall: float | None = None
) -> Evaluation:
    """What is demanded only moves the threshold, and that by `val` and `oos_val` alone."""
    model = trained(labelled, vectors, in_scope=in_scope, oos_recall=oos_recall)
    right = sum(model.classify(text).intent == label for text, label in labelled.test)
    rejected = [model.classify(text).intent is None for text in labelled.oos_test]
    recall = round(sum(rejected) / len(rejected), 4) if rejected else None
    return Evaluation(round(right / len(labelled.test), 4), recall)


def trained(
    labelled: Labelled, vectors: WordVectors | None, *, in_scope: float | None = None, oos_recall: float | None = None
) -> IntentModel:
    """A file without texts outside says nothing of what to reject: then nothing is rejected."""
    has_outside = bool(labelled.oos_train or labelled.oos_val or labelled.oos_test)
    everyday = elsewhere.outside(text for text, _ in labelled.train) if has_outside else []
    outside = [*labelled.oos_train, *everyday]
    model = fit(labelled.train, outside, vectors)
    if not has_outside:
        return model
    if labelled.val and labelled.oos_val:
        seen = look(model, labelled.val, labelled.oos_val, vectors)
        in_scope = IN_SCOPE if in_scope is None else in_scope
        oos_recall = OOS_RECALL if oos_recall is None else oos_recall
    else:
        found = crossed(labelled.train, outside, vectors)
        if found is None:
            return model
        seen = found.judged
    return with_judge(
        model,
        seen,
        least_right=in_scope or 0.0,
        least_outside=oos_recall or 0.0,
    )


def _pairs(name: str, part: Any) -> list[Example]:
    if not isinstance(part, list):
        raise UnusableFile(f"{name}: expected a list of [text, label]")
    for number, pair in enumerate(part):
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(each, str) for each in pair)):
            raise UnusableFile(f"{name}[{number}]: expected [text, label], two texts")
    return [(text, label) for text, label in part]
