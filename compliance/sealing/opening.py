"""Opens what the journal holds, for whoever reads it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from compliance.models.journal import SubjectKey
from compliance.sealing import body
from compliance.sealing.body import BodyBroken, Sealed
from compliance.sealing.sealer import label
from tenants import stored_keys
from tenants.keyring import KeysOf, TenantKeys
from tenants.secrets import SealBroken

log = logging.getLogger(__name__)

MOST: Final = 4096  # keys of subjects that are kept at hand


WrappedKeys = Callable[[int, Collection[str]], dict[str, bytes]]


class Entry(body.Place, Protocol):
    @property
    def body(self) -> bytes | memoryview: ...


class Opened(NamedTuple):
    """The JSON of an entry. `text` says whether its text is in there; if not, either it was `erased`, its key is
    destroyed, or it is unreadable: altered, or its tenant's key cannot be opened."""

    json: bytes
    text: bool = True
    erased: bool = False


class Opener:
    """Keeps the keys it met: for one piece of work, not for longer. Reads both databases and blocks, unless it is told
    otherwise where a tenant's keys are, and its subjects' wrapped ones."""

    def __init__(self, keys_of: KeysOf | None = None, wrapped_keys: WrappedKeys | None = None) -> None:
        self._keys_of = keys_of or stored_keys.stored
        self._wrapped_keys = wrapped_keys or _stored
        self._tenants: dict[int, TenantKeys | None] = {}
        self._subjects: dict[str, AESGCM | None] = {}

    def open(self, entries: Sequence[Entry]) -> list[Opened]:
        """In the same order. Raises django.db.DatabaseError."""
        found = [_read(entry) for entry in entries]
        self._look_up(entries, found)
        return [self._opened(entry, sealed) for entry, sealed in zip(entries, found, strict=True)]

    def _look_up(self, entries: Sequence[Entry], found: Iterable[Sealed]) -> None:
        """One query a tenant for the keys not met yet."""
        if len(self._subjects) > MOST:
            self._subjects.clear()
        wanted: dict[int, set[str]] = {}
        for entry, sealed in zip(entries, found, strict=True):
            if sealed.key_id is not None and sealed.key_id not in self._subjects:
                wanted.setdefault(entry.tenant_id, set()).add(sealed.key_id)
        for tenant_id, ids in wanted.items():
            stored = self._wrapped_keys(tenant_id, ids)
            for key_id in ids:
                self._subjects[key_id] = self._unwrapped(tenant_id, key_id, stored.get(key_id))

    def _unwrapped(self, tenant_id: int, key_id: str, wrapped: bytes | None) -> AESGCM | None:
        """None: the key was destroyed. Raises nothing: a key that cannot be unwrapped opens nothing."""
        if wrapped is None:
            return None
        if tenant_id not in self._tenants:
            self._tenants[tenant_id] = self._keys_of(tenant_id)
        tenant = self._tenants[tenant_id]
        try:
            if tenant is not None:
                return AESGCM(tenant.unwrap(wrapped, label(tenant_id, key_id)))
        except SealBroken as error:
            log.error("the data key %s of tenant %s cannot be opened: %s", key_id, tenant_id, error)
        return _USELESS

    def _opened(self, entry: Entry, sealed: Sealed) -> Opened:
        if sealed.key_id is None:
            return Opened(sealed.clear, text=sealed is not _BROKEN)
        cipher = self._subjects[sealed.key_id]
        if cipher is None:
            return Opened(sealed.clear, text=False, erased=True)
        try:
            return Opened(body.joined(sealed.clear, body.open_text(sealed, cipher, entry)))
        except InvalidTag:
            log.error("the %s of turn %s cannot be opened: it was altered", entry.kind, entry.turn_id)
            return Opened(sealed.clear, text=False)


_BROKEN: Final = Sealed(b"{}")
_USELESS: Final = AESGCM(bytes(32))  # opens nothing that was sealed with a key of ours


def _stored(tenant_id: int, ids: Collection[str]) -> dict[str, bytes]:
    rows = SubjectKey.objects.for_tenant(tenant_id).filter(pk__in=ids).values_list("pk", "wrapped")
    return {key_id: bytes(wrapped) for key_id, wrapped in rows}


def clear(entry: Entry) -> bytes:
    """The JSON that is readable without any key; of the older plain form all of it."""
    return _read(entry).clear


def _read(entry: Entry) -> Sealed:
    try:
        return body.read(bytes(entry.body))
    except BodyBroken as error:
        log.error("the %s of turn %s cannot be read: %s", entry.kind, entry.turn_id, error)
        return _BROKEN
