"""API keys: `cb_`, 256 random bits in base 62, and a checksum, so that a mistyped key is refused without a look-up.

Only the SHA-256 of a key is stored. It needs no salt and no stretching: there is nothing to guess in 256 random bits.
The form follows GitHub's tokens (a prefix that secret scanners know, a CRC-32 in base 62 at the end)."""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib

PREFIX = "cb_"
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
BITS = 256
BODY = 43  # digits of base 62 that hold 256 bits
CHECK = 6  # digits of base 62 that hold 32 bits
HINT = 8

_FORM = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{BODY + CHECK}}}\Z", re.ASCII)


def new_key() -> str:
    return from_digits(_base62(secrets.randbits(BITS), BODY))


def from_digits(digits: str) -> str:
    """The key with these 43 digits."""
    return PREFIX + digits + _checksum(PREFIX + digits)


def well_formed(key: str) -> bool:
    """Whether it can be one of ours at all."""
    return _FORM.match(key) is not None and _checksum(key[:-CHECK]) == key[-CHECK:]


def digest(key: str) -> str:
    """What is stored of a key: 64 hexadecimal digits."""
    return hashlib.sha256(key.encode()).hexdigest()


def hint(key: str) -> str:
    """What people recognise a key by: the prefix and a few digits, of no use to a guesser."""
    return key[:HINT]


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), CHECK)


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))
