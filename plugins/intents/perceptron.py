"""Trains the network of `plugins.intents.network`. Only a process that trains may import this module."""

from __future__ import annotations

import warnings
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import TruncatedSVD
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from plugins.intents.features import Floats, Read
from plugins.intents.network import Network, inputs

DIMENSIONS: Final = 200  # of the latent semantics
HIDDEN: Final = 512  # units where there are many examples,
HIDDEN_OF_FEW: Final = 128
FEW: Final = 1_500
EPOCHS: Final = 15  # over many examples; few are gone over more often
LEAST_STEPS: Final = 150
BATCH: Final = 128
DECAY: Final = 1e-2  # L2 penalty
RATE: Final = 2e-3
SEED: Final = 20


def network(rows: Any, words: int, reads: list[Read], labels: npt.NDArray[np.int64], columns: int) -> Network | None:
    """`rows` is the matrix of the examples' weights, whose first `words` columns are words and pairs of them. None:
    there is too little to tell apart."""
    present = np.unique(labels)
    size = min(DIMENSIONS, words - 1, len(reads) - 1)
    if len(present) < 2 or len(present) != columns or size < 2:
        return None
    latent = TruncatedSVD(size, random_state=SEED).fit(rows[:, :words]).components_.T.astype(np.float16)
    seen = np.array([inputs(latent, read) for read in reads], np.float32)
    batch = min(BATCH, len(reads))
    epochs = max(EPOCHS, -(-LEAST_STEPS * batch // len(reads)))
    hidden = HIDDEN if len(reads) > FEW else HIDDEN_OF_FEW
    machine = MLPClassifier(
        (hidden,), alpha=DECAY, batch_size=batch, learning_rate_init=RATE, max_iter=epochs, n_iter_no_change=epochs,
        random_state=SEED,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is stopped on purpose
        machine.fit(seen, labels)
    (inner, output), (inner_bias, output_bias) = machine.coefs_, machine.intercepts_
    if columns == 2:  # scikit-learn gives one output, the logit of the second
        output = np.column_stack((np.zeros(len(output)), output[:, 0]))
        output_bias = np.array([0.0, output_bias[0]])
    return Network(latent, *map(_single, (inner, inner_bias, output, output_bias)))


def _single(numbers: npt.NDArray[Any]) -> Floats:
    found: Floats = numbers.astype(np.float16).astype(np.float32)
    return found
