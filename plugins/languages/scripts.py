"""What of a text is language, and which scripts it is written in: enough to tell most languages without a model."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

import msgspec

from plugins.languages.names import HAN, KANA, LATIN

HEAD: Final = 400  # characters that are looked at: what comes first,
TAIL: Final = 200  # and what comes last, where the question often stands
KEPT: Final = 160  # characters of language that are enough

# What says nothing of the language of who wrote it. Chinese has no spaces, so what is cut ends with its ASCII.
_CUT: Final = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`"  # code
    r"|<[/a-z!][^<>]{0,200}>"  # tags
    r"|(?<![!-~])[!-.:;?A-Z^a-z~]*+[0-9_{}\\=<>/|$#@\[][!-~]*",  # numbers, addresses, names in programs, paths
    re.DOTALL | re.IGNORECASE,
)
_QUOTED: Final = re.compile(r'"[^"\n]{1,200}"|“[^”\n]{1,200}”|「[^」\n]{1,200}」|『[^』\n]{1,200}』|«[^»\n]{1,200}»')
_CODE_SIGNS: Final = re.compile(r"[{}();=<>\[\]&|+*]")
# Letters of each, by Unicode's blocks.
_SCRIPTS: Final = (
    (LATIN, "\u0041-\u005a\u0061-\u007a\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff"),
    (HAN, "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"),
    (KANA, "\u3041-\u3096\u30a1-\u30fa\u30fc-\u30ff\uff66-\uff9d"),
    ("hangul", "\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3"),
    ("cyrillic", "\u0400-\u052f"),
    ("arabic", "\u0621-\u065f\u066e-\u06ef\u06fa-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufefc"),
    ("devanagari", "\u0900-\u0963\u0970-\u097f"),
    ("greek", "\u0370-\u03ff\u1f00-\u1fff"),
    ("hebrew", "\u05d0-\u05ea"),
    ("armenian", "\u0531-\u058f"),
    ("georgian", "\u10a0-\u10ff"),
    ("bengali", "\u0980-\u09e5\u09f0-\u09ff"),
    ("gurmukhi", "\u0a00-\u0a65\u0a70-\u0a7f"),
    ("gujarati", "\u0a80-\u0ae5"),
    ("tamil", "\u0b80-\u0be5"),
    ("telugu", "\u0c00-\u0c65"),
    ("kannada", "\u0c80-\u0ce5"),
    ("malayalam", "\u0d00-\u0d65"),
    ("sinhala", "\u0d80-\u0dff"),
    ("thai", "\u0e01-\u0e3a\u0e40-\u0e4e"),
    ("lao", "\u0e81-\u0ecd\u0edc-\u0edf"),
    ("burmese", "\u1000-\u103f\u104c-\u109f"),
    ("ethiopic", "\u1200-\u135f\u1380-\u139f"),
    ("khmer", "\u1780-\u17d3"),
)
_RUNS: Final = re.compile("|".join(f"(?P<{name}>[{letters}]+)" for name, letters in _SCRIPTS))
_LETTERS: Final = {name: re.compile(f"[^{letters}]+") for name, letters in _SCRIPTS}

# Words that make a sentence English, beside names of things that every language takes over as they are.
_GRAMMAR: Final = frozenset(
    "the is in into of to what how does do did mean a an and for my me i you your please with this that it can could"
    " are was why when where who which from on not".split()
)
_BORROWED: Final = frozenset("のノ")  # Chinese shops and brands write it for 的


_WIDE: Final = re.compile("[\uff21-\uff3a\uff41-\uff5a]")  # Latin letters as wide as Chinese characters
_NARROW: Final = {code: code - 0xFEE0 for code in (*range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B))}


class Reading(msgspec.Struct, frozen=True):
    """`text` is what of it is language, `script` the one most of it is in, `size` how much that is: letters, and in
    scripts without spaces about two a character."""

    text: str
    script: str
    size: int


NOTHING: Final = Reading("", "", 0)


def read(text: str) -> Reading:
    """Looks at no more than the head and the tail of it."""
    if len(text) > HEAD + TAIL:
        text = f"{text[:HEAD]} {text[-TAIL:]}"
    if not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    if _WIDE.search(text):
        text = text.translate(_NARROW)
    kept = " ".join(_CUT.sub(" ", text).split())[:KEPT]
    if not kept or _is_code(text[:KEPT], kept):
        return NOTHING
    found = _main(kept)
    if found.script and (unquoted := _QUOTED.sub(" ", kept)) != kept:
        said = _main(unquoted)  # "what does this mean" counts, not what it is about
        if said.size >= 6:
            return said
    return found


def _is_code(text: str, kept: str) -> bool:
    """Programs are signs and English words, in whatever language their author thinks."""
    return kept.isascii() and len(text) > 12 and len(_CODE_SIGNS.findall(text)) > len(text) * 0.07


def _main(text: str) -> Reading:
    if text.isascii():
        return Reading(text, LATIN, len(_LETTERS[LATIN].sub("", text)))
    letters: dict[str, int] = {}
    words = grammar = 0
    for run in _RUNS.finditer(text):
        script = run.lastgroup
        assert script is not None
        letters[script] = letters.get(script, 0) + run.end() - run.start()
        if script == LATIN:
            words += 1
            grammar += run[0].lower() in _GRAMMAR
    if not letters:
        return NOTHING
    latin = letters.pop(LATIN, 0)
    if not letters:
        return Reading(text, LATIN, latin)
    east = letters.get(HAN, 0) + letters.get(KANA, 0)
    if east >= max(letters.values()):
        script, count = _of_the_east(text, letters, east)
        wins = count >= words + 2 * grammar
    else:
        script = max(letters, key=letters.__getitem__)
        count = letters[script]
        wins = 2 * count >= latin or (count >= 4 and not grammar)
    if not wins:
        return Reading(_only(text, LATIN), LATIN, latin)
    if script in (HAN, KANA):
        return Reading(text, script, 2 * count)
    return Reading(_only(text, script), script, count)


def _of_the_east(text: str, letters: dict[str, int], east: int) -> tuple[str, int]:
    """Japanese where there is kana, unless it is one sign in a Chinese sentence."""
    kana = letters.get(KANA, 0)
    lone = kana == 1 and east > 2 and any(sign in text for sign in _BORROWED)
    if kana and not lone and kana * 12 >= east:
        return KANA, east
    return HAN, east


def _only(text: str, script: str) -> str:
    """Without the words of other scripts."""
    return " ".join(_LETTERS[script].sub(" ", text).split())
