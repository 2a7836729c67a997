"""Word vectors that travel in a package: what words mean, also those that no example has.

The package `wordllama` (MIT) ships a matrix of 32,000 vectors of 256 numbers, trained so that the mean over a text's
tokens says what the text is about, and the byte-pair vocabulary they belong to. Only these two files are read, by code
of this module: the package and what it would pull in are never imported. The matrix is mapped, not read: workers share
its 16 MB. Without the package there are no vectors, and the classifier goes by words alone."""

from __future__ import annotations

import importlib.util
import json
import struct
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

PACKAGE: Final = "wordllama"
NAME: Final = "wordllama-l2-256"
WEIGHTS: Final = "weights/l2_supercat_256.safetensors"
VOCABULARY: Final = "tokenizers/l2_supercat_tokenizer_config.json"
MOST_REMEMBERED: Final = 50_000  # words whose pieces are at hand
MOST_WORDS: Final = 100  # of a text that are read: of 400 characters only those without spaces have more
LONGEST_WORD: Final = 24  # characters that are read of a word: finding its pieces takes their number squared
SPACE: Final = "\u2581"
_NEVER: Final = 1 << 30

Vector = npt.NDArray[np.float32]


class WordVectors:
    """The vectors by word. `size` numbers each."""

    def __init__(self, matrix: npt.NDArray[Any], vocabulary: dict[str, int], ranks: dict[tuple[str, str], int]) -> None:
        self.size = int(matrix.shape[1])
        self._matrix = matrix
        self._vocabulary = vocabulary
        self._ranks = ranks
        self._known: dict[str, tuple[int, ...]] = {}

    def of(self, tokens: list[str]) -> Vector:
        """The direction of the mean over the tokens of the first words, length 1; zero where no word is known."""
        rows = [row for word in tokens[:MOST_WORDS] for row in self._word(word[:LONGEST_WORD])]
        if not rows:
            return np.zeros(self.size, np.float32)
        total: Vector = self._matrix[rows].astype(np.float32).sum(axis=0)
        length = float(np.sqrt(total @ total))
        return total / np.float32(length) if length else total

    def _word(self, word: str) -> tuple[int, ...]:
        """The rows of its pieces."""
        try:
            return self._known[word]
        except KeyError:
            pass
        found = tuple(self._vocabulary[piece] for piece in self._pieces(SPACE + word) if piece in self._vocabulary)
        if len(self._known) < MOST_REMEMBERED:
            self._known[word] = found
        return found

    def _pieces(self, word: str) -> list[str]:
        """Byte-pair encoding: the neighbours that were merged first in training are merged first. A character that is
        no piece has no vector: the bytes it would fall back to mean nothing."""
        parts = list(word)
        ranked = self._ranks.get
        ranks = [ranked(pair, _NEVER) for pair in zip(parts, parts[1:], strict=False)]
        while ranks and (best := min(ranks)) != _NEVER:
            place = ranks.index(best)
            parts[place : place + 2] = [parts[place] + parts[place + 1]]
            del ranks[place]
            if place:
                ranks[place - 1] = ranked((parts[place - 1], parts[place]), _NEVER)
            if place < len(ranks):
                ranks[place] = ranked((parts[place], parts[place + 1]), _NEVER)
        return parts


@cache
def word_vectors() -> WordVectors | None:
    """None: the package is not installed, or is another version with other files."""
    spec = importlib.util.find_spec(PACKAGE)  # finds it, and imports nothing
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations)))
    try:
        matrix = _mapped(folder / WEIGHTS)
        model = json.loads((folder / VOCABULARY).read_bytes())["model"]
        ranks = {_pair(merge): rank for rank, merge in enumerate(model["merges"])}
    except (OSError, ValueError, KeyError):
        return None
    return WordVectors(matrix, model["vocab"], ranks)


def vectors_name() -> str:
    """What a model trained now would go by; empty without vectors."""
    return NAME if word_vectors() is not None else ""


def _pair(merge: str | list[str]) -> tuple[str, str]:
    first, second = merge.split(" ") if isinstance(merge, str) else merge
    return first, second


def _mapped(path: Path) -> npt.NDArray[Any]:
    """The one tensor of a safetensors file: eight bytes length, a JSON header, the numbers."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    entry = header["embedding.weight"]
    if entry["dtype"] != "F16":
        raise ValueError(f"{path.name} holds {entry['dtype']}")
    offset = 8 + length + entry["data_offsets"][0]
    return np.memmap(path, dtype=np.float16, mode="r", offset=offset, shape=tuple(entry["shape"]))
