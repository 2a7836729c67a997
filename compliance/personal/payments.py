"""Numbers of payment cards and of bank accounts."""

from __future__ import annotations

from typing import Final

from compliance.personal.checkdigits import luhn, mod_97_10
from compliance.personal.recogniser import Recogniser

# ISO/IEC 7812: (first, last) issuer number and the lengths of its cards.
_ISSUERS: Final[tuple[tuple[str, str, frozenset[int]], ...]] = (
    ("4", "4", frozenset({13, 16, 18, 19})),  # Visa
    ("51", "55", frozenset({16})),  # Mastercard, and its newer range
    ("2221", "2720", frozenset({16})),
    ("34", "34", frozenset({15})),  # American Express
    ("37", "37", frozenset({15})),
    ("62", "62", frozenset(range(16, 20))),  # UnionPay
    ("81", "81", frozenset(range(16, 20))),
    ("3528", "3589", frozenset(range(16, 20))),  # JCB
    ("300", "305", frozenset(range(14, 20))),  # Diners Club
    ("3095", "3095", frozenset(range(14, 20))),
    ("36", "36", frozenset(range(14, 20))),
    ("38", "39", frozenset(range(14, 20))),
    ("6011", "6011", frozenset(range(16, 20))),  # Discover
    ("644", "649", frozenset(range(16, 20))),
    ("65", "65", frozenset(range(16, 20))),
    ("60", "60", frozenset({16})),  # RuPay
    ("82", "82", frozenset({16})),
    ("508", "508", frozenset({16})),
    ("5018", "5018", frozenset(range(12, 20))),  # Maestro
    ("5020", "5020", frozenset(range(12, 20))),
    ("5038", "5038", frozenset(range(12, 20))),
    ("5893", "5893", frozenset(range(12, 20))),
    ("6304", "6304", frozenset(range(12, 20))),
    ("6759", "6759", frozenset(range(12, 20))),
    ("6761", "6763", frozenset(range(12, 20))),
    ("2200", "2204", frozenset(range(16, 20))),  # Mir
    ("9792", "9792", frozenset({16})),  # Troy
)
# SWIFT's IBAN registry: how long the number of each country is.
_IBANS: Final = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22,
    "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18,
    "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SC": 31, "SD": 18,
    "SE": 24, "SI": 19, "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22,
    "VG": 24, "XK": 20,
}  # fmt: skip


def is_card(number: str) -> bool:
    """ISO/IEC 7812: a known issuer's number of that length, with Luhn's check digit."""
    return luhn(number) and any(
        first <= number[: len(first)] <= last and len(number) in lengths for first, last, lengths in _ISSUERS
    )


def is_iban(number: str) -> bool:
    """ISO 13616: a country's length and ISO 7064 MOD 97-10 with the first four signs moved to the end."""
    return _IBANS.get(number[:2]) == len(number) and mod_97_10(number[4:] + number[:4])


def _iban_patterns() -> list[Recogniser]:
    """One a length: a pattern that takes as much as it can would take the word behind an IBAN too."""
    found = []
    for length in sorted(set(_IBANS.values())):
        countries = "|".join(country for country, size in _IBANS.items() if size == length)
        rest = f"(?: ?[0-9A-Za-z]){{{length - 4}}}"
        found.append(Recogniser("iban", "IBAN", rf"(?i:{countries})[0-9]{{2}}{rest}", is_iban, letters=True))
    return found


PAYMENTS: Final = (
    Recogniser("card", "CARD", r"[2-9][0-9]{11,18}", is_card),
    Recogniser("card", "CARD", r"[2-9][0-9]{3}(?:[ -][0-9]{4}){3}[ -][0-9]{1,3}", is_card),
    Recogniser("card", "CARD", r"[2-9][0-9]{3}(?:[ -][0-9]{4}){3}", is_card),
    Recogniser("card", "CARD", r"3[0-9]{3}[ -][0-9]{6}[ -][0-9]{4,5}", is_card),
    Recogniser("card", "CARD", r"[2-9][0-9]{5}[ -][0-9]{10,13}", is_card),
    *_iban_patterns(),
)
