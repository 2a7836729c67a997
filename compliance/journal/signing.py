"""The key that checkpoints and certificates are signed with: Ed25519, in the form of C2SP signed-note.

What is signed with it can be verified by anybody who has the line `Signer.public_key()`, and made by nobody else: keep
the key away from whoever can write the journal's database."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from compliance.tree.notes import Keys, Unreadable, key_id, read_keys

NAME: Final = "clawdbot"


class Signer:
    """Signs with `key`; verification also takes what the `retired` public keys signed. Raises ImproperlyConfigured."""

    def __init__(self, key: str, retired: Sequence[str] = ()) -> None:
        try:
            seed = base64.b64decode(key, validate=True)
            self._key = Ed25519PrivateKey.from_private_bytes(seed)
        except (binascii.Error, ValueError):
            raise ImproperlyConfigured("SIGNING_KEY: not 32 bytes in base64") from None
        public = self._key.public_key().public_bytes_raw()
        self.key_id = key_id(NAME, public)
        material = base64.b64encode(b"\x01" + public).decode()
        self._public_key = f"{NAME}+{self.key_id.hex()}+{material}"
        try:
            self.keys: Keys = read_keys("\n".join([self._public_key, *retired]))
        except Unreadable as error:
            raise ImproperlyConfigured(f"SIGNING_RETIRED_KEYS: {error}") from None

    def public_key(self) -> str:
        """The line `name+id+base64` that verifiers are given."""
        return self._public_key

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of the signature."""
        return self._key.sign(message)

    def note(self, lines: Sequence[str]) -> str:
        """The lines as a signed note."""
        text = "".join(f"{line}\n" for line in lines)
        signature = base64.b64encode(self.key_id + self.sign(text.encode())).decode()
        return f"{text}\n\u2014 {NAME} {signature}\n"


def platform_signer() -> Signer:
    """With the key of the settings."""
    return Signer(settings.SIGNING_KEY, settings.SIGNING_RETIRED_KEYS)
