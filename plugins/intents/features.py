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

from plugins.intents.texts import normalised, pieces, word_grams, words
from plugins.intents.vectors import WordVectors

FEW: Final = 3_000  # texts up to which every word and piece counts; above, those that stand in two texts
MOST: Final = 120_000  # words and pieces of a model at most; the most frequent stay

Floats = npt.NDArray[np.float32]
Places = npt.NDArray[np.int32]


class Vocabulary:
    """The words and pieces a model knows, each with its place and its idf. Words have the first places."""

    def __init__(self, words: Sequence[str], pieces: Sequence[str], idf: Floats) -> None:
        self.words = {word: place for place, word in enumerate(words)}
        self.pieces = {piece: place for place, piece in enumerate(pieces, len(words))}
        self.idf = idf
        self.rarest = float(idf.max()) if len(idf) else 1.0

    def __len__(self) -> int:
        return len(self.idf)

    @classmethod
    def of(cls, texts: Iterable[str]) -> Vocabulary:
        """Of normalised texts."""
        counted: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        size = 0
        for text in texts:
            size += 1
            counted[0].update(set(word_grams(words(text))))
            counted[1].update(set(pieces(text)))
        least = 1 if size <= FEW else 2
        kept = [
            sorted(gram for gram, count in counter.most_common(MOST // 2) if count >= least or " " not in gram)
            for counter in counted
        ]
        counts = [counter[gram] for counter, grams in zip(counted, kept, strict=True) for gram in grams]
        idf = np.log((1 + size) / (1 + np.array(counts, np.float64))) + 1
        return cls(kept[0], kept[1], idf.astype(np.float32))

    def read(self, tokens: list[str], text: str) -> tuple[Places, Floats]:
        """Places and weights of what is known of a normalised text and its words."""
        word_places, word_weights = self._weighed(self.words, word_grams(tokens))
        piece_places, piece_weights = self._weighed(self.pieces, pieces(text))
        return np.concatenate((word_places, piece_places)), np.concatenate((word_weights, piece_weights))

    def familiarity(self, tokens: list[str]) -> float:
        """Which share of a text's words, by how much they say, the examples have as well; 0 of none."""
        known = total = 0.0
        for word in tokens:
            place = self.words.get(word)
            weight = self.rarest if place is None else float(self.idf[place])
            total += weight
            known += 0.0 if place is None else weight
        return known / total if total else 0.0

    def _weighed(self, known: dict[str, int], grams: list[str]) -> tuple[Places, Floats]:
        counts: dict[int, int] = {}
        for gram in grams:
            place = known.get(gram)
            if place is not None:
                counts[place] = counts.get(place, 0) + 1
        places = np.fromiter(counts, np.int32, len(counts))
        weights = np.fromiter(map(_sublinear, counts.values()), np.float32, len(counts)) * self.idf[places]
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


def _sublinear(count: int) -> float:
    return 1.0 + math.log(count)
