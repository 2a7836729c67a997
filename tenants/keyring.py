"""A tenant's keys, opened: what wraps the keys of its users and makes their pseudonyms. `tenants.stored_keys` has the
rows they come from; the request path reads a snapshot, `KeyTable`."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tenants.secrets import SealBroken

PLATFORM: Final = 0  # in the place of a tenant's id
SECRET: Final = 32  # bytes, of each of the two
FINGERPRINT: Final = 4
NONCE: Final = 12
PSEUDONYM: Final = 32  # hexadecimal digits: 128 bits, so that no two users of a tenant ever share one


class Wrapping:
    """One wrapping secret. `id` is its fingerprint, which says nothing about it."""

    def __init__(self, secret: bytes) -> None:
        self.id = hashlib.sha256(b"clawdbot tenant key\x00" + secret).digest()[:FINGERPRINT]
        self.cipher = AESGCM(secret)


class TenantKeys:
    """What one tenant's entries are sealed with. `naming` is the secret of the pseudonyms; the last of `wrapping`
    wraps, all unwrap."""

    def __init__(self, naming: bytes, wrapping: list[bytes]) -> None:
        self._naming = naming
        found = [Wrapping(secret) for secret in wrapping]
        self._first = found[-1]
        self._all = {each.id: each.cipher for each in found}

    @classmethod
    def fresh(cls) -> Self:
        """Keys that are stored nowhere: for benchmarks and tests."""
        return cls(os.urandom(SECRET), [os.urandom(SECRET)])

    def pseudonym(self, user: str) -> str:
        """The same for the same user of this tenant, and of no use to who has not the key."""
        return hmac.digest(self._naming, user.encode("utf-8", "surrogatepass"), "sha256").hex()[:PSEUDONYM]

    def wrap(self, secret: bytes, label: str) -> bytes:
        """`secret` sealed for what `label` names: fingerprint, nonce, ciphertext and tag."""
        nonce = os.urandom(NONCE)
        return self._first.id + nonce + self._first.cipher.encrypt(nonce, secret, _associated(label))

    def unwrap(self, wrapped: bytes, label: str) -> bytes:
        """Raises SealBroken."""
        cipher = self._all.get(wrapped[:FINGERPRINT])
        if cipher is None:
            raise SealBroken("wrapped by a tenant key that is not there")
        nonce, sealed = wrapped[FINGERPRINT : FINGERPRINT + NONCE], wrapped[FINGERPRINT + NONCE :]
        try:
            return cipher.decrypt(nonce, sealed, _associated(label))
        except (InvalidTag, ValueError) as error:
            raise SealBroken("altered, or wrapped for something else") from error

    def outdated(self, wrapped: bytes) -> bool:
        """Whether another key than the one that wraps now was used."""
        return wrapped[:FINGERPRINT] != self._first.id


KeyTable = dict[int, TenantKeys]
KeysOf = Callable[[int], TenantKeys | None]


def _associated(label: str) -> bytes:
    return b"clawdbot subject key\x00" + label.encode()
