"""Check digits of numbers, each by the standard that is named. All take ASCII digits (letters in upper case) without
separators and say whether the whole number is consistent."""

from __future__ import annotations

from typing import Final

_LUHN_TWICE: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_PERMUTED: Final = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 5, 7, 6, 2, 8, 3, 0, 9, 4), (5, 8, 0, 3, 7, 9, 6, 1, 4, 2),
    (8, 9, 1, 6, 0, 4, 3, 5, 2, 7), (9, 4, 5, 3, 1, 2, 6, 8, 7, 0), (4, 2, 8, 6, 5, 7, 3, 9, 0, 1),
    (2, 7, 9, 3, 8, 0, 6, 4, 1, 5), (7, 0, 4, 6, 9, 1, 3, 2, 5, 8),
)  # fmt: skip


def luhn(number: str) -> bool:
    """ISO/IEC 7812-1, annex B: every second digit from the right twice, digit sums add up to a multiple of 10."""
    digits = [int(digit) for digit in reversed(number)]
    return (sum(digits[::2]) + sum(_LUHN_TWICE[digit] for digit in digits[1::2])) % 10 == 0


def verhoeff(number: str) -> bool:
    """J. Verhoeff, Error Detecting Decimal Codes (1969): multiplication in the dihedral group of the pentagon."""
    check = 0
    for place, digit in enumerate(reversed(number)):
        check = _times(check, _PERMUTED[place % 8][int(digit)])
    return check == 0


def _times(left: int, right: int) -> int:
    """Rotations are 0 to 4, reflections 5 to 9."""
    if left < 5:
        return (left + right) % 5 if right < 5 else 5 + (left + right) % 5
    return 5 + (left - right) % 5 if right < 5 else (left - right) % 5


def mod_11_2(number: str) -> bool:
    """ISO/IEC 7064, MOD 11-2, as GB 11643 uses it: the last sign is a digit or X for 10."""
    remainder = 0
    for digit in number[:-1]:
        remainder = (remainder + int(digit)) * 2 % 11
    return (remainder + (10 if number[-1] == "X" else int(number[-1]))) % 11 == 1


def mod_11_10(number: str) -> bool:
    """ISO/IEC 7064, MOD 11,10, a hybrid system."""
    product = 10
    for digit in number[:-1]:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return (product + int(number[-1])) % 10 == 1


def mod_97_10(number: str) -> bool:
    """ISO/IEC 7064, MOD 97-10, over letters as two digits (A is 10): IBANs, after their first four signs went last."""
    return int("".join(str(int(sign, 36)) for sign in number)) % 97 == 1


def weighted(number: str, weights: tuple[int, ...]) -> int:
    """The sum of the digits, each times its weight."""
    return sum(int(digit) * weight for digit, weight in zip(number, weights, strict=False))
