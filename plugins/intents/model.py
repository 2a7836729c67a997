"""A trained classifier: what it answers, and as bytes.

Three opinions are added up for each intent: a linear one on words and pieces (a support vector machine, one intent
against the rest), one on what the words mean (ridge regression on random Fourier features, Rahimi and Recht 2007,
of the mean word vector: high near examples, nothing far from all of them), and that of a small neural network
(`plugins.intents.network`). Whether the text is any of the intents at all is asked apart, of a logistic regression on
how the best did: its score, its lead, its lead over "none of these", how near the nearest intent's centre is, and how
much of the text the examples' words cover."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from plugins.intents.features import Floats, Read, Vocabulary
from plugins.intents.network import Network
from plugins.intents.vectors import WordVectors

threadpool_limits(limits=1, user_api="blas")  # a worker has its core; the event loop must not wait for other threads

FORMAT: Final = 2
SHARPNESS: Final = 3.0  # how fast candidates behind the best fall off
MEANT: Final = 2.0  # weight of the opinion by meaning beside the linear one,
LEARNT: Final = np.float32(0.2)  # and of the network's
SIGNALS: Final = 6
NETWORK: Final = ("latent", "hidden", "hidden_bias", "output", "output_bias")
MOST_BYTES: Final = 512 * 1024 * 1024

Signals = npt.NDArray[np.float64]


class Candidate(msgspec.Struct, frozen=True):
    """An intent that may be meant. `score` from 0 to 1."""

    intent: str
    score: float


class Recognised(msgspec.Struct, frozen=True):
    """What a text was taken for. `intent` None: none of them. `score`: how likely the best candidate is meant, from 0
    to 1; the intent is named from the threshold on."""

    intent: str | None
    score: float
    candidates: list[Candidate]


class UnreadableModel(ValueError):
    """Bytes that are no model, one of another version of the product, or one that needs vectors that are not here."""


@dataclass(frozen=True, slots=True)
class Meanings:
    """The opinion by meaning. `phases` and `directions` make the features, `weights` (features x intents) the scores;
    `centres` (intents x size) are the means of the examples' directions."""

    directions: Floats
    phases: Floats
    weights: Floats
    centres: Floats

    def features(self, direction: Floats) -> Floats:
        """Of one direction, or of a matrix with one a row."""
        made: Floats = np.cos(direction @ self.directions + self.phases) * np.float32((2 / len(self.phases)) ** 0.5)
        return made


@dataclass(frozen=True, slots=True)
class Judge:
    """Is it any of them? The logistic regression over the signals, after each is centred and scaled. One that was not
    taught goes by the lead over "none of these"."""

    mean: Signals = field(default_factory=lambda: np.zeros(SIGNALS))
    scale: Signals = field(default_factory=lambda: np.ones(SIGNALS))
    weights: Signals = field(default_factory=lambda: np.array([0, 0, 4.0, 0, 0, 0]))
    bias: float = 0.0

    def probability(self, signals: Signals) -> Signals:
        """One signal vector, or a matrix of them."""
        logit = ((signals - self.mean) / self.scale) @ self.weights + self.bias
        answer: Signals = 1 / (1 + np.exp(-np.clip(logit, -30, 30)))
        return answer


class IntentModel:
    """`weights`: places x columns, a column each intent and one more, the last, for "none of these" where `none`."""

    def __init__(
        self,
        *,
        intents: list[str],
        none: bool,
        vocabulary: Vocabulary,
        weights: npt.NDArray[np.float16],
        bias: Floats,
        meanings: Meanings | None,
        network: Network | None,
        judge: Judge,
        threshold: float,
        vectors: WordVectors | None,
    ) -> None:
        self.intents = intents
        self.none = none
        self.vocabulary = vocabulary
        self.weights = weights
        self.bias = bias
        self.meanings = meanings
        self.network = network
        self.judge = judge
        self.threshold = threshold
        self._vectors = vectors

    def scores(self, read: Read) -> tuple[Floats, float]:
        """Of every column, and the nearness of the nearest centre."""
        scores: Floats = read.weights @ self.weights[read.places].astype(np.float32) + self.bias
        if self.network is not None:
            scores = scores + LEARNT * self.network.opinion(read)
        if self.meanings is None or read.direction is None:
            return scores, 0.0
        meant = self.meanings.features(read.direction) @ self.meanings.weights
        return scores + MEANT * meant, float((self.meanings.centres @ read.direction).max())

    def classify(self, text: str, *, threshold: float | None = None, most: int = 5) -> Recognised:
        """Under a millisecond of CPU. `threshold`: another than the trained one."""
        read = Read(text, self.vocabulary, self._vectors)
        scores, nearness = self.scores(read)
        probability = float(self.judge.probability(signals(scores, nearness, read.familiarity, none=self.none)))
        own = scores[: len(self.intents)]
        order = np.argsort(-own, kind="stable")[:most]
        best = float(own[order[0]])
        shares = probability * np.exp(SHARPNESS * (own[order] - best))
        candidates = [
            Candidate(self.intents[at], round(float(share), 4)) for at, share in zip(order, shares, strict=True)
        ]
        wanted = self.threshold if threshold is None else threshold
        named = probability >= wanted and (len(read.places) > 0 or nearness != 0)
        return Recognised(candidates[0].intent if named else None, candidates[0].score, candidates)

    def to_bytes(self) -> bytes:
        """A zip file of arrays and one JSON document: nothing in it can run."""
        meta = {
            "format": FORMAT, "intents": self.intents, "none": self.none, "threshold": self.threshold,
            "words": list(self.vocabulary.words), "pieces": list(self.vocabulary.pieces),
            "bias": self.judge.bias, "vectors": self.meanings is not None,
        }  # fmt: skip
        arrays: dict[str, npt.NDArray[Any]] = {
            "idf": self.vocabulary.idf, "weights": self.weights, "column_bias": self.bias,
            "mean": self.judge.mean, "scale": self.judge.scale, "judge": self.judge.weights,
        }  # fmt: skip
        if self.meanings is not None:
            arrays |= {
                "directions": self.meanings.directions.astype(np.float16), "phases": self.meanings.phases,
                "meant": self.meanings.weights.astype(np.float16), "centres": self.meanings.centres.astype(np.float16),
            }  # fmt: skip
        if self.network is not None:
            arrays |= {f"network_{name}": getattr(self.network, name).astype(np.float16) for name in NETWORK}
        file = io.BytesIO()
        arrays["meta"] = np.frombuffer(msgspec.json.encode(meta), np.uint8)
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # its stubs take names for its one flag
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, vectors: WordVectors | None) -> IntentModel:
        """Raises UnreadableModel."""
        try:
            return cls._read(data, vectors)
        except (ValueError, KeyError, OSError, zipfile.BadZipFile, msgspec.MsgspecError, EOFError) as error:
            raise UnreadableModel(str(error)) from None

    @classmethod
    def _read(cls, data: bytes, vectors: WordVectors | None) -> IntentModel:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            meta = msgspec.json.decode(arrays["meta"].tobytes())
            if meta["format"] != FORMAT:
                raise ValueError("made by another version")
            meanings = None
            if meta["vectors"]:
                if vectors is None:
                    raise ValueError("trained with word vectors, which are not installed here")
                names = ("directions", "phases", "meant", "centres")
                meanings = Meanings(*(arrays[name].astype(np.float32) for name in names))
            network = None
            if "network_latent" in arrays:
                latent, *layers = (arrays[f"network_{name}"] for name in NETWORK)
                network = Network(latent, *(layer.astype(np.float32) for layer in layers))
            return cls(
                intents=meta["intents"],
                none=meta["none"],
                vocabulary=Vocabulary(meta["words"], meta["pieces"], arrays["idf"]),
                weights=arrays["weights"],
                bias=arrays["column_bias"],
                meanings=meanings,
                network=network,
                judge=Judge(arrays["mean"], arrays["scale"], arrays["judge"], meta["bias"]),
                threshold=meta["threshold"],
                vectors=vectors if meanings is not None else None,
            )


def signals(scores: Floats, nearness: float, familiarity: float, *, none: bool) -> Signals:
    """What the judge looks at, from the scores of one text."""
    own = scores[:-1] if none else scores
    if len(own) > 1:
        second, best = (float(each) for each in np.partition(own, -2)[-2:])
    else:
        second, best = -1.0, float(own[0])
    rejected = float(scores[-1]) if none else -1.0
    return np.array([best, best - second, best - rejected, nearness, familiarity, float(np.exp(own).sum())])
