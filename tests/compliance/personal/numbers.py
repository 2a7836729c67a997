"""Numbers with their check digits, made by the plainest reading of each standard: by trying every last sign."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

DIGITS = "0123456789"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def digits(chance: random.Random, count: int) -> str:
    return "".join(chance.choice(DIGITS) for _ in range(count))


def completed(stem: str, signs: Iterable[str], is_right: Callable[[str], bool]) -> tuple[str, list[str]]:
    """The one ending that is right, and all that are wrong."""
    (right,) = [sign for sign in signs if is_right(stem + sign)]
    return stem + right, [stem + sign for sign in signs if sign != right]


def chinese(number: str) -> bool:
    """GB 11643: the sum of a_i * 2^(18-i) is 1 modulo 11."""
    values = [10 if sign == "X" else int(sign) for sign in number]
    return sum(value * 2**power for value, power in zip(values, range(17, -1, -1), strict=True)) % 11 == 1


def card(number: str) -> bool:
    doubled = [int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(number))]
    return sum(sum(map(int, str(value))) for value in doubled) % 10 == 0


def iban(country: str, account: str) -> str:
    """ISO 13616: 98 minus the remainder of account, country and 00."""
    whole = "".join(str(int(sign, 36)) for sign in f"{account}{country}00")
    return f"{country}{98 - int(whole) % 97:02}{account}"


def french(stem: str) -> str:
    return f"{stem}{97 - int(stem) % 97:02}"


def japanese(stem: str) -> str:
    total = sum(int(digit) * (n + 1 if n <= 6 else n - 5) for n, digit in enumerate(reversed(stem), 1))
    return stem + str(0 if total % 11 <= 1 else 11 - total % 11)


def brazilian(stem: str) -> str:
    for start in (10, 11):
        total = sum(int(digit) * (start - place) for place, digit in enumerate(stem))
        stem += str(0 if total % 11 < 2 else 11 - total % 11)
    return stem


def korean(stem: str) -> str:
    return stem + str(
        (11 - sum(int(d) * w for d, w in zip(stem, [*range(2, 10), *range(2, 6)], strict=True)) % 11) % 10
    )
