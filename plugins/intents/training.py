"""Trains a classifier from examples: seconds of one core, deterministic, no network.

Imports scipy and scikit-learn, which take tens of megabytes: only a process that trains may import this module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from plugins.intents.features import MOST, Floats, Read, Vocabulary
from plugins.intents.model import MEANT, IntentModel, Judge, Meanings, Signals, signals
from plugins.intents.perceptron import network
from plugins.intents.texts import normalised
from plugins.intents.vectors import WordVectors

threadpool_limits(limits=1, user_api="blas")  # scipy has a library of its own

FEATURES: Final = 2048
WIDTH: Final = 1.0  # of the kernel exp(-WIDTH * distance squared) that the random features stand for
RIDGE: Final = 0.3
SOFTNESS: Final = 1.0  # C of the support vector machine
SEED: Final = 20
LEAST_TAUGHT: Final = 6  # texts rightly recognised from which it can be learnt what is to be rejected
MOST_WEIGHTS: Final = 16_000_000  # words and pieces times intents: 30 MB in every worker, 120 MB while training

Example = tuple[str, str]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Judged:
    """Texts that the model did not learn from, as it sees them: `signals` a row each, whether each was one of its
    intents and named rightly, whether it was none of them, and the `best` intent for it."""

    signals: Signals
    right: npt.NDArray[np.bool_]
    outside: npt.NDArray[np.bool_]
    best: list[str]


def fit(examples: Sequence[Example], outside: Sequence[str], vectors: WordVectors | None) -> IntentModel:
    """A model that has learnt the examples, `(text, intent)`; `outside` are texts that are none of the intents. What
    of other texts is to be rejected it has still to be told: see `with_judge`."""
    intents = sorted({intent for _, intent in examples})
    column = {intent: at for at, intent in enumerate(intents)}
    texts = [text for text, _ in examples] + list(outside)
    labels = np.array([column[intent] for _, intent in examples] + [len(intents)] * len(outside), np.int64)
    columns = len(intents) + bool(outside)
    vocabulary = Vocabulary.of((normalised(text) for text in texts), min(MOST, MOST_WEIGHTS // columns))
    reads = [Read(text, vocabulary, vectors) for text in texts]
    rows = _matrix(reads, len(vocabulary))
    weights, bias = _linear(rows, labels, columns)
    meanings = _meanings(reads, labels, len(intents), columns) if vectors is not None else None
    return IntentModel(
        intents=intents,
        none=bool(outside),
        vocabulary=vocabulary,
        weights=weights.astype(np.float16),
        bias=bias if meanings is None else bias - np.float32(MEANT / 2),
        meanings=meanings,
        network=network(rows, len(vocabulary.words), reads, labels, columns),
        judge=Judge(),
        threshold=0.5 if outside else 0.0,
        vectors=vectors,
    )


def look(
    model: IntentModel, examples: Sequence[Example], outside: Sequence[str], vectors: WordVectors | None
) -> Judged:
    """How the model sees texts it did not learn from."""
    rows: list[Signals] = []
    found = []
    for text in [*(text for text, _ in examples), *outside]:
        read = Read(text, model.vocabulary, vectors)
        scores, nearness = model.scores(read)
        rows.append(signals(scores, nearness, read.familiarity, none=model.none))
        found.append(model.intents[int(np.argmax(scores[: len(model.intents)]))])
    none = np.arange(len(rows)) >= len(examples)
    right = [best == intent for best, (_, intent) in zip(found, examples, strict=False)] + [False] * len(outside)
    return Judged(np.array(rows).reshape(len(rows), -1), np.array(right, bool), none, found)


def with_judge(
    model: IntentModel, seen: Judged, *, least_right: float = 0.0, least_outside: float = 0.0
) -> IntentModel:
    """Teaches the model what to reject, in place, and chooses its threshold. Without texts from outside nothing is
    rejected, and from next to nothing recognised nothing is learnt: the model stays as it was made."""
    if not seen.outside.any() or seen.right.sum() < LEAST_TAUGHT:
        return model
    model.judge = judge(seen)
    model.threshold = threshold(model.judge.probability(seen.signals), seen, least_right, least_outside)
    return model


def judge(seen: Judged) -> Judge:
    """Logistic regression by Newton's method, both sides weighing the same. What was an intent but named wrongly says
    nothing about either."""
    used = seen.right | seen.outside
    rows, target = seen.signals[used], (~seen.outside[used]).astype(np.float64)
    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    scale[scale < 1e-9] = 1.0
    inputs = np.column_stack(((rows - mean) / scale, np.ones(len(rows))))
    weight = np.where(target == 1, 0.5 / max(target.sum(), 1), 0.5 / max((1 - target).sum(), 1)) * len(rows)
    penalty = np.diag([1.0] * rows.shape[1] + [1e-6])
    found = np.zeros(inputs.shape[1])
    for _ in range(30):
        probability = 1 / (1 + np.exp(-np.clip(inputs @ found, -30, 30)))
        slope = inputs.T @ (weight * (probability - target)) + penalty @ found
        curve = (inputs * (weight * probability * (1 - probability) + 1e-9)[:, None]).T @ inputs + penalty
        step = np.linalg.solve(curve, slope)
        found -= step
        if float(np.abs(step).max()) < 1e-8:
            break
    return Judge(mean, scale, found[:-1], float(found[-1]))


def threshold(probability: Signals, seen: Judged, least_right: float, least_outside: float) -> float:
    """With demands: the one that keeps furthest from both, where the smaller of the two margins, each in standard
    errors of its own share, is largest. Without: where what is rightly named and what is rightly rejected, as shares,
    are most together (Youden's index)."""
    inside = ~seen.outside
    right = np.sort(probability[seen.right])
    outside = np.sort(probability[seen.outside])
    candidates = np.unique(np.concatenate((probability, [0.0, 1.0])))
    accepted = len(right) - np.searchsorted(right, candidates, side="left")
    recall = np.searchsorted(outside, candidates, side="left") / len(outside)
    if least_right or least_outside:
        above = (accepted / inside.sum() - least_right) / _error(least_right, int(inside.sum()))
        worth = np.minimum(above, (recall - least_outside) / _error(least_outside, len(outside)))
    else:
        worth = accepted / len(right) + recall
    best = np.flatnonzero(worth >= worth.max() - 1e-9)
    chosen = int(best[len(best) // 2])  # of thresholds that do the same, the one in the middle
    lower = candidates[chosen - 1] if chosen else 0.0
    return float((lower + candidates[chosen]) / 2)


def _error(share: float, of: int) -> float:
    share = min(max(share, 0.05), 0.95)
    return float((share * (1 - share) / of) ** 0.5)


def _matrix(reads: list[Read], width: int) -> Any:
    ends = np.cumsum([0, *(len(read.places) for read in reads)])
    places = np.concatenate([read.places for read in reads])
    weights = np.concatenate([read.weights for read in reads])
    return sparse.csr_matrix((weights, places, ends), shape=(len(reads), width))


def _linear(rows: Any, labels: Labels, columns: int) -> tuple[Floats, Floats]:
    """Weights (places x columns) and a bias for each column: each intent against all the rest."""
    if columns == 1:
        return np.zeros((rows.shape[1], 1), np.float32), np.ones(1, np.float32)
    if not rows.shape[1]:  # not one word in any of them
        return np.zeros((0, columns), np.float32), np.zeros(columns, np.float32)
    machine = LinearSVC(C=SOFTNESS, random_state=SEED, tol=1e-3, max_iter=2000).fit(rows, labels)
    weights, bias = machine.coef_, machine.intercept_
    if columns == 2:  # scikit-learn gives one column for two classes
        weights, bias = np.vstack((-weights, weights)), np.concatenate((-bias, bias))
    return weights.T.astype(np.float32), bias.astype(np.float32)


def _meanings(reads: list[Read], labels: Labels, intents: int, columns: int) -> Meanings:
    directions = np.array([read.direction for read in reads], np.float32)
    random = np.random.default_rng(SEED)
    size = directions.shape[1]
    made = Meanings(
        directions=(random.standard_normal((size, FEATURES)) * (2 * WIDTH) ** 0.5)
        .astype(np.float16)
        .astype(np.float32),
        phases=random.uniform(0, 2 * np.pi, FEATURES).astype(np.float32),
        weights=np.zeros((FEATURES, columns), np.float32),
        centres=_centres(directions, labels, intents),
    )
    features = made.features(directions).astype(np.float64)
    wanted = np.zeros((len(reads), columns))
    wanted[np.arange(len(reads)), labels] = 1
    weights = np.linalg.solve(features.T @ features + RIDGE * np.eye(FEATURES), features.T @ wanted)
    return Meanings(made.directions, made.phases, weights.astype(np.float32), made.centres)


def _centres(directions: Floats, labels: Labels, intents: int) -> Floats:
    centres = np.array([directions[labels == at].mean(axis=0) for at in range(intents)], np.float32)
    lengths = np.linalg.norm(centres, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    made: Floats = centres / lengths
    return made
