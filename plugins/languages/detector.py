"""Which of a tenant's languages a text is in, and how sure that is. First by script, which needs no model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import exp
from typing import Final

import msgspec

from engine.tags import HANS
from plugins.languages import han
from plugins.languages.models import NO_LANGUAGE, Models
from plugins.languages.names import HAN, KANA, LATIN, NAMES, written_in
from plugins.languages.scripts import Reading, read

FOREIGN: Final = 4.0  # how much less likely, as a logarithm, a language is that nobody asked to tell apart
COMMON: Final = 1.0  # how much more likely English is: names and terms of every language look like it
BEFORE: Final = 5.0  # how much more likely a short text goes on in the language of the conversation
BRIEF: Final = 24  # letters; longer texts speak for themselves
SHARPNESS: Final = 0.5  # of the scores, so that of texts found with 80 % confidence about 80 % are right
NAMED: Final = 8  # as counted for Chinese characters; so few may as well be a Japanese name or noun
LETTERS: Final = 2  # that a text must have

_EDGES: Final = " .,!?…¡¿:;'\"-"

# What is often said alone, and too short for a model. Only what is not also said elsewhere.
GREETINGS: Final[dict[str, str]] = {
    word.replace("\u00a0", " "): language
    for language, words in {
        "en": "hi hey hello thanks thank\u00a0you yes ok okay please good\u00a0morning bye help",
        "es": "hola gracias buenos\u00a0días buenas adiós",
        "de": "danke guten\u00a0tag tschüss bitte",
        "fr": "bonjour salut merci bonsoir",
        "it": "grazie buongiorno ciao",
        "pt": "olá oi obrigado obrigada bom\u00a0dia",
        "nl": "bedankt dank\u00a0je goedemorgen",
        "sv": "hej tack",
        "ru": "привет спасибо здравствуйте",
        "id": "halo terima\u00a0kasih",
    }.items()
    for word in words.split(" ")
}


class Found(msgspec.Struct, frozen=True):
    """`language` is a primary subtag; `script` `Hans` or `Hant` where Chinese shows it. `confidence` is 0 to 1."""

    language: str
    confidence: float
    script: str | None = None

    @property
    def tag(self) -> str:
        return f"{self.language}-{self.script}" if self.script else self.language


def detect(text: str, languages: Collection[str], models: Models | None, before: str | None = None) -> Found | None:
    """None: no language, such as numbers and programs, or none of `languages`. `before` is the primary subtag of what
    was said before. Without `models` only where the script decides."""
    reading = read(text)
    if reading.size < LETTERS:
        return None
    if reading.script in (HAN, KANA):
        return _of_the_east(reading, languages, before)
    known = written_in(reading.script)
    asked = [language for language in known if language in languages]
    if not asked:
        return None
    if len(known) == 1:
        return Found(asked[0], 1.0)
    greeting = GREETINGS.get(reading.text.strip(_EDGES).lower()) if before is None and reading.size <= BRIEF else None
    if greeting is not None and greeting in languages:
        return Found(greeting, 0.9)
    if models is None:
        return Found(asked[0], 0.5) if len(asked) == 1 and reading.script != LATIN else None
    return _likeliest(models.scores(reading.text), reading, known, languages, before)


def _of_the_east(reading: Reading, languages: Collection[str], before: str | None) -> Found | None:
    if reading.script == KANA:
        return Found("ja", 1.0) if "ja" in languages else None
    japanese = "ja" in languages and (han.is_japanese(reading.text) or "zh" not in languages)
    if japanese or (before == "ja" and "ja" in languages and reading.size <= BRIEF):
        return Found("ja", 0.8)
    if "zh" not in languages:
        return None
    script = han.script_of(reading.text)
    short = reading.size <= NAMED and script != HANS and not han.is_chinese(reading.text)
    doubtful = short and "ja" in languages and before != "zh"
    return Found("zh", 0.8 if doubtful else 1.0, script)


def _likeliest(
    scores: Mapping[str, float],
    reading: Reading,
    known: Collection[str],
    languages: Collection[str],
    before: str | None,
) -> Found | None:
    weighed: dict[str, float] = {}
    for language, score in scores.items():
        if language in known:
            weighed[language] = score if language in languages else score - FOREIGN
        elif language == NO_LANGUAGE:
            weighed[language] = score - FOREIGN
    if not weighed:
        return None
    if "en" in weighed:
        weighed["en"] += COMMON
    if before in weighed and reading.size <= BRIEF:
        weighed[before] += BEFORE
    best = max(weighed, key=weighed.__getitem__)
    if best not in languages:
        return None
    top = weighed[best]
    return Found(best, round(1 / sum(exp(SHARPNESS * (score - top)) for score in weighed.values()), 3))


def unknown(languages: Collection[str]) -> list[str]:
    """Which of them cannot be told apart, sorted."""
    return sorted(language for language in languages if language not in NAMES)
