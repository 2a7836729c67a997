"""How well languages are told apart, how sure that is, and what it costs: time, memory, hostile texts.

    python -m benchmarks.languages [--texts 400]

The texts are translations that come with installed packages (Django, django-allauth, REST framework): what people who
speak the language wrote for screens, from single words to paragraphs. No detector was trained on them here. The few
numbers of `plugins.languages.detector` were chosen by looking at texts of the same lists, some of them those that are
measured: what somebody else's texts give may be somewhat less."""

from __future__ import annotations

import argparse
import gettext
import importlib.util
import json
import random
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from benchmarks.guard import cpu
from plugins.languages import models
from plugins.languages.detector import detect
from plugins.languages.names import USUAL

PACKAGES = ("django", "allauth", "rest_framework", "rest_framework_simplejwt")
LOCALES = {"zh": ("zh_Hans", "zh_CN", "zh_Hant", "zh_TW"), "pt": ("pt", "pt_BR", "pt_PT"), "en": ("de", "fr")}
SIZES = ("words", "pairs", "phrases", "sentences")
NOT_WORDS = re.compile(r"%\(\w+\)[a-z]?|%[a-z]|\{\w*\}|<[^>]+>|&\w+;|https?://\S+|[\w.]+@[\w.]+|_")
LATINS = frozenset("fr de es pt it nl pl tr vi id cs sv en".split())
STEPS = {"zh": (2, 4, 9), "ja": (3, 6, 14), "th": (6, 12, 25)}  # letters of the first three sizes
CONFIDENCES = (0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
LINE = "Please tell me how to reset the password of my account on this service. "
CHINESE = "请告诉我怎么重置这个服务的密码，我已经试过很多次了。"
HOSTILE = {"one word": "a", "digits": "aA1", "backticks": "`", "tags": "<a", "accents": "e\u0301", "quotes": '"a'}


def texts(language: str, most: int) -> dict[str, list[str]]:
    """By size, `most` of each, the same every time."""
    found: dict[str, set[str]] = defaultdict(set)
    for original, translated in _catalogues(language):
        for text in (original,) if language == "en" else (translated,):
            if language != "en" and text == original:
                continue
            cleaned = " ".join(NOT_WORDS.sub(" ", text).split()).strip(" .,:;!?\"'“”()[]-–—…。，：")
            letters = [sign for sign in cleaned if sign.isalpha()]
            foreign = language not in LATINS and any(sign.isascii() for sign in letters)
            if len(letters) >= (2 if language in STEPS else 3) and not foreign:
                found[_size(cleaned, language)].add(cleaned)
    chance = random.Random(7)
    return {size: chance.sample(sorted(found[size]), min(most, len(found[size]))) for size in SIZES}


def _catalogues(language: str) -> Iterator[tuple[str, str]]:
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        for folder in spec.submodule_search_locations or () if spec is not None else ():
            for locale in LOCALES.get(language, (language,)):
                for file in sorted(Path(folder).glob(f"**/locale/{locale}/LC_MESSAGES/*.mo")):
                    with file.open("rb") as opened:
                        catalogue = gettext.GNUTranslations(opened)._catalog  # type: ignore[attr-defined]
                    for key, text in catalogue.items():
                        original = key[0] if isinstance(key, tuple) else key
                        if original:
                            yield original.split("\x04")[-1], text


def _size(text: str, language: str) -> str:
    if language in STEPS:
        count = sum(sign.isalnum() for sign in text)
        return next((size for size, most in zip(SIZES, STEPS[language], strict=False) if count <= most), SIZES[-1])
    count = len(text.split())
    return SIZES[min(count, 3) - 1] if count <= 2 else SIZES[2] if count <= 6 else SIZES[3]


def accuracy(most: int, both: models.Models) -> list[tuple[float, bool]]:
    """Prints the table; returns how sure each answer was that a model gave, and whether it was right."""
    rows: dict[str, dict[str, float]] = {size: {} for size in SIZES}
    sure: list[tuple[float, bool]] = []
    for language in USUAL:
        for size, listed in texts(language, most).items():
            held_out = listed[1::2]
            right = 0
            for text in held_out:
                found = detect(text, USUAL, both)
                right += found is not None and found.language == language
                if found is not None and found.confidence < 1:
                    sure.append((found.confidence, found.language == language))
            rows[size][language] = right / max(1, len(held_out))
    print(f"accuracy among {len(USUAL)} languages, %".ljust(40), " ".join(name.rjust(3) for name in USUAL))
    for size in SIZES:
        mean = sum(rows[size].values()) / len(rows[size])
        cells = " ".join(f"{rows[size][name] * 100:3.0f}" for name in USUAL)
        print(f"  {size}: mean {mean * 100:.1f}".ljust(40), cells)
    return sure


def calibration(sure: list[tuple[float, bool]]) -> None:
    print("of answers of the models with a confidence up to ... so many are right:")
    lower = 0.0
    for upper in CONFIDENCES:
        inside = [right for confidence, right in sure if lower <= confidence < upper]
        if inside:
            print(f"  {lower:4.2f} to {upper:4.2f}: {sum(inside) / len(inside) * 100:5.1f} % of {len(inside)}")
        lower = upper


def times(both: models.Models) -> None:
    print("CPU time of a call, µs:")
    for size in (20, 64, 330, 2000):
        english, chinese = (LINE * 30)[:size], (CHINESE * 80)[:size]
        latin = cpu(lambda text=english: detect(text, USUAL, both)) * 1e6  # type: ignore[misc]
        han = cpu(lambda text=chinese: detect(text, USUAL, both)) * 1e6  # type: ignore[misc]
        print(f"  {size:5} characters: English {latin:5.0f}, Chinese {han:5.0f}")
    for name, piece in HOSTILE.items():
        hostile = piece * (100_000 // len(piece))
        print(f"  100,000 of {name}: {cpu(lambda text=hostile: detect(text, USUAL, both)) * 1e6:5.0f}")  # type: ignore[misc]


def memory() -> None:
    """In a fresh process: what loading adds."""
    code = """
import json, time
from plugins.builtin.language import Language, LanguageSettings
def proportional():
    return next(int(line.split()[1]) for line in open("/proc/self/smaps_rollup") if line.startswith("Pss:")) / 1024
before, began = proportional(), time.process_time()
one = Language(LanguageSettings()); one.open(); one._detect("Where is my order?"); one._detect("我的订单到哪里了")
after, spent = proportional(), time.process_time() - began
two = Language(LanguageSettings(languages=["zh", "en"])); two.open(); two._detect("Where is my order?")
print(json.dumps([after - before, spent, proportional() - after]))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    added, spent, second = json.loads(done.stdout)
    print(f"a process gains {added:.0f} MiB and spends {spent:.1f} s of CPU; a second tenant adds {second:.1f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=400, help="of each size and language; half of them are measured")
    arguments = parser.parse_args()
    began = time.process_time()
    both = models.load()
    print(f"loaded in {time.process_time() - began:.1f} s of CPU")
    calibration(accuracy(arguments.texts, both))
    times(both)
    memory()


if __name__ == "__main__":
    main()
