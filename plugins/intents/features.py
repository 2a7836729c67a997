"""From a text to numbers: weights of words and pieces (tf-idf), and the directions of what the words mean.

Sublinear term frequency, smoothed inverse document frequency, words and pieces each of length 1: as in scikit-learn's
`TfidfVectorizer`, which trains faster than it reads and is not needed to read."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from plugins.intents.texts import normalised, pieces, runs, word_grams, words
from plugins.intents.vectors import WordVectors

FEW: Final = 3_000  # texts up to which every word and piece counts; above, those that stand in two texts
MOST: Final = 120_000  # words and pieces of a model at most
REMEMBERED_LENGTH: Final = 16  # characters of a run whose pieces are remembered
MOST_REMEMBERED: Final = 20_000  # of them

Floats = npt.NDArray[np.float32]
Places = npt.NDArray[np.int32]

_NOWHERE: Final[Places] = np.zeros(0, np.int32)


class Vocabulary:
    """The words and pieces a model knows, each with its place and its idf. Words have the first places."""

    def __init__(self, words: Sequence[str], pieces: Sequence[str], idf: Floats) -> None:
        self.words = {word: place for place, word in enumerate(words)}
        self.pieces = {piece: place for place, piece in enumerate(pieces, len(words))}
        self.idf = idf
        self._runs: dict[str, Places] = {}
        self.rarest = float(idf.max()) if len(idf) else 1.0

    def __len__(self) -> int:
        return len(self.idf)

    @classmethod
    def of(cls, texts: Iterable[str], most: int = MOST) -> Vocabulary:
        """Of normalised texts: at most so many words and pieces, the most frequent."""
        counted: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        size = 0
        for text in texts:
            size += 1
            counted[0].update(set(word_grams(words(text))))
            counted[1].update({piece for run in runs(text) for piece in pieces(run)})
        least = 1 if size <= FEW else 2
        kept = [
            sorted(gram for gram, count in counter.most_common(most // 2) if count >= least or " " not in gram)
            for counter in counted
        ]
        counts = [counter[gram] for counter, grams in zip(counted, kept, strict=True) for gram in grams]
        idf = np.log((1 + size) / (1 + np.array(counts, np.float64))) + 1
        return cls(kept[0], kept[1], idf.astype(np.float32))

    def read(self, tokens: list[str], text: str) -> tuple[Places, Floats]:
        """Places and weights of what is known of a normalised text and its words."""
        known = self.words
        grams = np.array([known[gram] for gram in word_grams(tokens) if gram in known], np.int32)
        found = [self._of_run(run) for run in runs(text)]
        halves = (self._weighed(grams), self._weighed(np.concatenate(found) if found else _NOWHERE))
        return np.concatenate([places for places, _ in halves]), np.concatenate([weights for _, weights in halves])

    def familiarity(self, tokens: list[str]) -> float:
        """Which share of a text's words, by how much they say, the examples have as well; 0 of none."""
        known = total = 0.0
        for word in tokens:
            place = self.words.get(word)
            weight = self.rarest if place is None else float(self.idf[place])
            total += weight
            known += 0.0 if place is None else weight
        return known / total if total else 0.0

    def _of_run(self, run: str) -> Places:
        """Words come again: the pieces of short runs are remembered."""
        places = self._runs.get(run)
        if places is None:
            known = self.pieces
            places = np.array([known[piece] for piece in pieces(run) if piece in known], np.int32)
            if len(run) <= REMEMBERED_LENGTH and len(self._runs) < MOST_REMEMBERED:
                self._runs[run] = places
        return places

    def _weighed(self, occurring: Places) -> tuple[Places, Floats]:
        places, counts = np.unique(occurring, return_counts=True)
        weights: Floats = (1 + np.log(counts)).astype(np.float32) * self.idf[places]
        length = math.sqrt(float(weights @ weights))
        return places, weights / np.float32(length) if length else weights


class Read:
    """One text, read once for everything that is asked of it."""

    __slots__ = ("direction", "familiarity", "places", "weights")

    def __init__(self, text: str, vocabulary: Vocabulary, vectors: WordVectors | None) -> None:
        plain = normalised(text)
        tokens = words(plain)
        self.places, self.weights = vocabulary.read(tokens, plain)
        self.direction = vectors.of(tokens) if vectors is not None else None
        self.familiarity = vocabulary.familiarity(tokens)
