"""The caller's own key for a request: the header `Idempotency-Key`, the field `idempotency_key` of a frame."""

from __future__ import annotations

import re
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from engine.errors import InvalidRequest
from engine.types import RawHeaders

HEADER: Final = b"idempotency-key"
NAME: Final = "Idempotency-Key"
_KEY: Final = re.compile(rb"[\x20-\x7e]{1,255}")


class KeyField(msgspec.Struct):
    """The part of a WebSocket frame that is read here."""

    idempotency_key: Annotated[str, Meta(pattern=r"^[\x20-\x7e]{1,255}\Z")] | None = None


def given(headers: RawHeaders) -> str:
    """The key of a request; empty: it has none. Raises InvalidRequest: it is no key, or there are several."""
    keys = [value.strip() for name, value in headers if name == HEADER]
    if not keys:
        return ""
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        raise InvalidRequest(f"{NAME} must be one value of 1 to 255 printable ASCII characters.", param=NAME)
    return keys[0].decode("ascii")
