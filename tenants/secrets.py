"""Secrets at rest: AES-256-GCM, bound to the row they belong to.

Sealed form: `v1.<key id>.<base64url of nonce (12 bytes), ciphertext and tag (16 bytes)>`. The key is derived from a
master key by HKDF-SHA256 with the purpose as its label; tenant, row and purpose are associated data, so that a
ciphertext copied to another row, tenant or use does not open."""

from __future__ import annotations

import base64
import binascii
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

log = logging.getLogger(__name__)

VERSION = "v1"
NONCE = 12
KEY_ID = 4
SHORTEST: Final = 32  # characters of a secret that something is signed or sealed with

_said: dict[Path, str] = {}  # by files of master keys, when they were last read


class SealBroken(ValueError):
    """The text is not sealed by one of our keys for this row, or was altered."""


class Vault:
    """Seals with the first master key, opens with any: to rotate, put a new one in front and seal again."""

    def __init__(self, master_keys: Sequence[str]) -> None:
        if not master_keys or not all(master_keys):
            raise ValueError("a master key is needed, and none may be empty")
        self._masters = {_derive(master, "key id", KEY_ID).hex(): master for master in reversed(master_keys)}
        self._first = _derive(master_keys[0], "key id", KEY_ID).hex()

    def seal(self, plain: str, *, tenant_id: int | None, row_id: int, purpose: str) -> str:
        """`tenant_id` None: a row of the platform. `row_id` is the row's primary key: save it before its secret."""
        nonce = os.urandom(NONCE)
        associated = _associated(self._first, tenant_id, row_id, purpose)
        sealed = self._cipher(self._first, purpose).encrypt(nonce, plain.encode(), associated)
        return f"{VERSION}.{self._first}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, *, tenant_id: int | None, row_id: int, purpose: str) -> str:
        """The plain text. Raises SealBroken."""
        version, _, rest = sealed.partition(".")
        key_id, _, body = rest.partition(".")
        if version != VERSION or key_id not in self._masters:
            raise SealBroken("sealed by a key or in a form that is not known here")
        try:
            raw = base64.b64decode(body, altchars=b"-_", validate=True)
            associated = _associated(key_id, tenant_id, row_id, purpose)
            return self._cipher(key_id, purpose).decrypt(raw[:NONCE], raw[NONCE:], associated).decode()
        except (InvalidTag, binascii.Error, ValueError) as error:
            raise SealBroken("altered, or sealed for another row") from error

    def is_current(self, sealed: str) -> bool:
        """Whether the first master key sealed it."""
        return sealed.startswith(f"{VERSION}.{self._first}.")

    def _cipher(self, key_id: str, purpose: str) -> AESGCM:
        return AESGCM(_derive(self._masters[key_id], purpose, 32))


def seal(plain: str, *, tenant_id: int | None, row_id: int, purpose: str) -> str:
    """`Vault.seal` with the master keys of the settings (a comma list; the first seals)."""
    return platform_vault().seal(plain, tenant_id=tenant_id, row_id=row_id, purpose=purpose)


def open_sealed(sealed: str, *, tenant_id: int | None, row_id: int, purpose: str) -> str:
    """`Vault.open` with the master keys of the settings. Raises SealBroken."""
    return platform_vault().open(sealed, tenant_id=tenant_id, row_id=row_id, purpose=purpose)


def platform_vault() -> Vault:
    """With the master keys of the settings."""
    return Vault(master_keys())


def derived_passwords(purpose: str) -> list[str]:
    """One of each master key for this purpose; the first one is to be used, the others were."""
    return [_derive(master, purpose, 32).hex() for master in master_keys()]


def master_keys() -> list[str]:
    """Of the settings; where those came from a file, what it says by now, so that a process learns of a new one while
    it runs. A file that cannot be read at this moment, or is half written, says what it said last: what is sealed with
    half a key nobody opens again."""
    text, file = settings.MASTER_KEY, settings.MASTER_KEY_FILE
    if file is not None:
        text = _said[file] = _read(file, _said.get(file, text))
    return _parts(text)


def _read(file: Path, before: str) -> str:
    try:
        said = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        log.warning("the master key's file cannot be read, what it said before counts: %s", error)
        return before
    return said if in_full(_parts(said), _parts(before)) else before


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def in_full(keys: Sequence[str], before: Sequence[str]) -> bool:
    """Whether a file with these keys was read when it was whole: none is shorter than a key must be (or, where checks
    were off when shorter ones were given, than the shortest of `before`)."""
    return min(map(len, keys), default=0) >= min(SHORTEST, *map(len, before))


def _derive(master: str, purpose: str, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=b"clawdbot " + purpose.encode()).derive(
        master.encode()
    )


def _associated(key_id: str, tenant_id: int | None, row_id: int, purpose: str) -> bytes:
    tenant = "platform" if tenant_id is None else str(tenant_id)
    return "\x00".join((VERSION, key_id, purpose, tenant, str(row_id))).encode()
