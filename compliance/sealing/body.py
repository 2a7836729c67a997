"""The stored form of an entry's body, version 1:

    0x01 | length of clear (uint32, big-endian) | clear | key id (16 bytes) | nonce (12 bytes) | ciphertext and tag

`clear` is JSON that anybody may read who may read the table: figures and names of the configuration, no text. The rest
is JSON under AES-256-GCM (RFC 5116, NIST SP 800-38D) with the entry's place and `clear` as associated data, so that
nothing sealed can be moved to another entry and no figure beside it changed. Together they are one JSON object; of a
key that both have the text's counts. A body that begins with `{` is the older plain form: that object itself.

Between event loop and writer thread a body is 0x00 | length of clear | clear | text: that form is never stored."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple, Protocol

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

UNSEALED: Final = 0
SEALED: Final = 1
PLAIN: Final = ord("{")
KEY_ID: Final = 16
NONCE: Final = 12

_HEAD: Final = struct.Struct(">BI")
_SEALED: Final = bytes([SEALED])
_PLACE: Final = struct.Struct(">III q")


class BodyBroken(ValueError):
    """These bytes are no body, or their seal does not hold: they were altered, or moved here from elsewhere."""


class Place(Protocol):
    """The entry a body belongs to."""

    @property
    def turn_id(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def number(self) -> int: ...

    @property
    def tenant_id(self) -> int: ...


class Sealed(NamedTuple):
    """`key_id` None: nothing here is sealed, and `clear` is all."""

    clear: bytes
    key_id: str | None = None
    nonce: bytes = b""
    ciphertext: bytes = b""


def unsealed(clear: bytes, text: bytes) -> bytes:
    return _HEAD.pack(UNSEALED, len(clear)) + clear + text


def seal(content: bytes, cipher: AESGCM, key_id: bytes, nonce: bytes, place: tuple[str, str, int, int]) -> bytes:
    """An unsealed body sealed. `place` is turn id, kind, number and tenant. A nonce may be used once with a key."""
    end = _HEAD.size + int.from_bytes(content[1 : _HEAD.size])
    sealed = cipher.encrypt(nonce, content[end:], associated(*place, content[_HEAD.size : end]))
    return b"".join((_SEALED, content[1:end], key_id, nonce, sealed))


def read(body: bytes) -> Sealed:
    """Raises BodyBroken."""
    if body[:1] == b"{":
        return Sealed(body)
    if len(body) < _HEAD.size or body[0] != SEALED:
        raise BodyBroken("no body of an entry")
    end = _HEAD.size + _HEAD.unpack_from(body)[1]
    nonce, text = end + KEY_ID, end + KEY_ID + NONCE
    if len(body) < text:
        raise BodyBroken("a body that was cut off")
    return Sealed(body[_HEAD.size : end], body[end:nonce].hex(), body[nonce:text], body[text:])


def clear_of(body: bytes) -> bytes:
    """What everybody may read of it, and nothing else taken apart. Raises BodyBroken."""
    if body[:1] == b"{":
        return body
    if len(body) < _HEAD.size or body[0] != SEALED:
        raise BodyBroken("no body of an entry")
    return body[_HEAD.size : _HEAD.size + _HEAD.unpack_from(body)[1]]


def open_text(sealed: Sealed, cipher: AESGCM, place: Place) -> bytes:
    """Raises cryptography's InvalidTag."""
    bound = associated(place.turn_id, place.kind, place.number, place.tenant_id, sealed.clear)
    return cipher.decrypt(sealed.nonce, sealed.ciphertext, bound)


def joined(clear: bytes, text: bytes) -> bytes:
    """One JSON object of two."""
    if clear == b"{}":
        return text
    return clear if text == b"{}" else b"%b,%b" % (clear[:-1], text[1:])


def associated(turn_id: str, kind: str, number: int, tenant_id: int, clear: bytes) -> bytes:
    """Every part with its length before it, so that no two entries have the same."""
    turn, name = turn_id.encode(), kind.encode()
    return _PLACE.pack(len(turn), len(name), number, tenant_id) + turn + name + clear
