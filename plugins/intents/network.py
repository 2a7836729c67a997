"""The opinion of a small neural network: a perceptron with one hidden layer over what a text's words mean.

It sees the mean word vector beside the words' latent semantics (truncated singular value decomposition of tf-idf,
Deerwester et al. 1990), so it also works where there are no word vectors. Trained with Adam by scikit-learn, read here
with numpy alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from plugins.intents.features import Floats, Read

SCALE: Final = np.float32(4.0)  # of its inputs, whose length is one at most: what Adam's first steps are made for
LEAST: Final = np.float32(1e-9)  # probability: an opinion has bounds


@dataclass(frozen=True, slots=True)
class Network:
    """`latent` (words and pairs x dimensions) makes the latent semantics, `hidden` and `output` are the layers, each
    with its bias."""

    latent: Floats
    hidden: Floats
    hidden_bias: Floats
    output: Floats
    output_bias: Floats

    def opinion(self, read: Read) -> Floats:
        """The logarithm of the probability of each column."""
        inside = np.maximum(inputs(self.latent, read) @ self.hidden + self.hidden_bias, 0)
        logits = inside @ self.output + self.output_bias
        logits -= logits.max()
        shares = np.exp(logits)
        found: Floats = np.log(shares / shares.sum() + LEAST)
        return found


def inputs(latent: Floats, read: Read) -> Floats:
    """What the network sees of a text."""
    ours = read.places < len(latent)
    semantics = read.weights[ours] @ latent[read.places[ours]].astype(np.float32)
    found: Floats = semantics if read.direction is None else np.concatenate((read.direction, semantics))
    return found * SCALE
