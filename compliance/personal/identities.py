"""Numbers by which authorities know people. A recogniser's check is given the number without separators, letters in
upper case; where the standard has a check digit, only numbers that hold to it are recognised."""

from __future__ import annotations

from datetime import date
from typing import Final

from compliance.personal.checkdigits import mod_11_2, mod_11_10, verhoeff, weighted
from compliance.personal.recogniser import Recogniser

# GB/T 2260: the first two digits of a division's code, with 81 to 83 for residents from Hong Kong, Macau and Taiwan.
_PROVINCES: Final = frozenset(
    {"11", "12", "13", "14", "15", "21", "22", "23", "31", "32", "33", "34", "35", "36", "37", "41", "42", "43", "44"}
    | {"45", "46", "50", "51", "52", "53", "54", "61", "62", "63", "64", "65", "71", "81", "82", "83"}
)
_TAIWAN_LETTERS: Final = dict(zip("ABCDEFGHJKLMNPQRSTUVXYWZIO", range(10, 36), strict=True))
_TAIWAN_WEIGHTS: Final = (1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1)
_KOREAN_WEIGHTS: Final = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)
_KOREAN_CENTURIES: Final = {"1": 1900, "2": 1900, "5": 1900, "6": 1900, "3": 2000, "4": 2000, "7": 2000, "8": 2000}
_JAPANESE_WEIGHTS: Final = (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)
_SPANISH_LETTERS: Final = "TRWAGMYFPDXBNJZSQVHLCKE"
_ITALIAN_ODD: Final = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16,
         10, 22, 25, 24, 23),
        strict=True,
    )
)  # fmt: skip
_NO_UK_PREFIX: Final = frozenset({"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"})


def chinese(number: str) -> bool:
    """GB 11643-1999: division (6), date of birth (8), serial number (3), check digit by ISO 7064 MOD 11-2; before 1999
    15 digits, the year in two and no check digit."""
    if number[:2] not in _PROVINCES:
        return False
    if len(number) == 15:
        return _is_date(1900 + int(number[6:8]), number[8:10], number[10:12])
    return _is_date(int(number[6:10]), number[10:12], number[12:14]) and mod_11_2(number)


def _is_date(year: int, month: str, day: str) -> bool:
    if not 1850 <= year < 2100:
        return False
    try:
        date(year, int(month), int(day))
    except ValueError:
        return False
    return True


def hong_kong(number: str) -> bool:
    """Hong Kong identity card: one or two letters, six digits, a check digit (A for 10) so that all, weighted 9 down to
    1 with a space for a missing first letter, is a multiple of 11."""
    signs = number.rjust(9)
    values = [36 if sign == " " else int(sign, 36) for sign in signs[:-1]]
    check = 10 if signs[-1] == "A" else int(signs[-1])
    return (sum(value * weight for value, weight in zip(values, range(9, 1, -1), strict=True)) + check) % 11 == 0


def taiwanese(number: str) -> bool:
    """Taiwan's national identity number (second sign 1 or 2) and resident certificates, new (8 or 9) and old (a
    letter): the first letter counts as two digits, an old second letter as its last one."""
    first = str(_TAIWAN_LETTERS[number[0]])
    second = str(_TAIWAN_LETTERS[number[1]])[1] if number[1].isalpha() else number[1]
    return weighted(first + second + number[2:], _TAIWAN_WEIGHTS) % 10 == 0


def korean(number: str) -> bool:
    """Korean resident registration number: date of birth, a digit for century and sex, and a check digit, which numbers
    given since October 2020 no longer have: written with the usual hyphen the date alone decides."""
    bare = number.replace("-", "")
    century = _KOREAN_CENTURIES.get(bare[6])
    if century is None or not _is_date(century + int(bare[:2]), bare[2:4], bare[4:6]):
        return False
    base = 13 if bare[6] in "5678" else 11
    return "-" in number or (base - weighted(bare, _KOREAN_WEIGHTS) % 11) % 10 == int(bare[12])


def japanese(number: str) -> bool:
    """Japan's Individual Number (Ordinance 85 of 2014 of the Ministry of Internal Affairs): MOD 11 over 11 digits."""
    remainder = weighted(number, _JAPANESE_WEIGHTS) % 11
    return int(number[11]) == (0 if remainder <= 1 else 11 - remainder)


def american(number: str) -> bool:
    """US social security number (SSA, since 2011): no check digit; area not 000, 666 or 9xx, no group 00, serial 0000.
    The pattern demands separators."""
    return number[:3] not in ("000", "666") and number[0] != "9" and number[3:5] != "00" and number[5:] != "0000"


def british(number: str) -> bool:
    """UK National Insurance number (HMRC, NIM39110): two letters, six digits, a suffix A to D."""
    return number[:2] not in _NO_UK_PREFIX


def spanish(number: str) -> bool:
    """Spanish DNI and NIE (Real Decreto 1553/2005): the letter is the number modulo 23; X, Y, Z stand for 0, 1, 2."""
    digits = str("XYZ".find(number[0])) + number[1:-1] if number[0] in "XYZ" else number[:-1]
    return _SPANISH_LETTERS[int(digits) % 23] == number[-1]


def italian(number: str) -> bool:
    """Italian codice fiscale (DM 23 December 1976): places in turn by two tables, modulo 26."""
    odd = sum(_ITALIAN_ODD[sign] for sign in number[:15:2])
    even = sum(int(sign) if sign.isdigit() else ord(sign) - ord("A") for sign in number[1:15:2])
    return chr((odd + even) % 26 + ord("A")) == number[15]


def german(number: str) -> bool:
    """German tax identification number (section 139b AO): of its first ten digits one occurs twice or three times, but
    never thrice in a row, and the others once at most; check digit by ISO 7064 MOD 11,10."""
    counts = sorted(number[:10].count(digit) for digit in set(number[:10]))
    once_but_one = counts[-1] in (2, 3) and counts[:-1].count(1) == len(counts) - 1
    return once_but_one and not any(digit * 3 in number[:10] for digit in "0123456789") and mod_11_10(number)


def french(number: str) -> bool:
    """French NIR (INSEE, decree 82-103): 13 signs and the key 97 minus the number modulo 97; 2A and 2B, the Corsican
    departments, count as 19 and 18."""
    digits = number[:13].replace("2A", "19").replace("2B", "18")
    return digits.isdigit() and 97 - int(digits) % 97 == int(number[13:])


def indian(number: str) -> bool:
    """India's Aadhaar (UIDAI): twelve digits, the first not 0 or 1, the last by Verhoeff; no palindrome."""
    return number != number[::-1] and verhoeff(number)


def brazilian(number: str) -> bool:
    """Brazilian CPF (Receita Federal): two check digits modulo 11; eleven times the same digit is none."""
    if len(set(number)) == 1:
        return False
    first = weighted(number[:9], tuple(range(10, 1, -1))) * 10 % 11 % 10
    second = weighted(number[:10], tuple(range(11, 1, -1))) * 10 % 11 % 10
    return number[9:] == f"{first}{second}"


def _always(number: str) -> bool:
    return True


IDENTITIES: Final = (
    Recogniser("id_cn", "ID", r"[1-9][0-9]{5}(?:[ -]?[0-9]{4}){2}[ -]?[0-9]{3}[0-9Xx]|[1-9][0-9]{14}", chinese),
    Recogniser(
        "id_hk", "ID", r"[A-Z]{1,2}[0-9]{6}(?:\([0-9A]\)|[0-9A])", hong_kong, letters=True, dropped="()"
    ),
    Recogniser("id_mo", "ID", r"[157](?:[0-9]{6}\([0-9]\)|/[0-9]{6}/[0-9])", _always),
    Recogniser("id_tw", "ID", r"[A-Z][1289A-D][0-9]{8}", taiwanese, letters=True),
    Recogniser("id_kr", "ID", r"[0-9]{6}-?[1-8][0-9]{6}", korean, dropped=""),
    Recogniser("id_jp", "ID", r"[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{4}", japanese),
    Recogniser("id_us", "ID", r"[0-9]{3}(?:-[0-9]{2}-| [0-9]{2} )[0-9]{4}", american),
    Recogniser(
        "id_uk", "ID", r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]"
        r"|[a-ceghj-pr-tw-z][a-ceghj-npr-tw-z][0-9]{6}[a-d]", british, letters=True,
    ),
    Recogniser("id_es", "ID", r"[0-9]{2}\.?[0-9]{3}\.?[0-9]{3}[ -]?[A-Z]", spanish),
    Recogniser("id_es", "ID", r"[XYZ][ -]?[0-9]{7}[ -]?[A-Z]", spanish, letters=True),
    Recogniser(
        "id_it", "ID", r"[A-Za-z]{6}[0-9]{2}[A-EHLMPR-Ta-ehlmpr-t][0-9]{2}[A-Za-z][0-9]{3}[A-Za-z]", italian,
        letters=True,
    ),
    Recogniser("id_de", "ID", r"[1-9][0-9] ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}", german),
    Recogniser(
        "id_fr", "ID", r"[1-478] ?[0-9]{2} ?(?:0[1-9]|1[0-2]|[2-9][0-9]) ?(?:[0-9]{2}|2[ABab]) ?[0-9]{3} ?[0-9]{3}"
        r"[ -]?[0-9]{2}", french,
    ),
    Recogniser("id_in", "ID", r"[2-9][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}", indian),
    Recogniser("id_br", "ID", r"[0-9]{3}\.?[0-9]{3}\.?[0-9]{3}[ -]?[0-9]{2}", brazilian),
)  # fmt: skip
