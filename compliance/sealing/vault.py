"""Seals what is kept outside the journal with keys of its users: erasing a user makes it unreadable wherever it lies,
in backups too. Implements `engine.ports.Vault`.

The stored form, version 1:  0x01 | key id (16 bytes) | nonce (12 bytes) | ciphertext and tag

AES-256-GCM (NIST SP 800-38D) with a random nonce; tenant and place are the associated data. A user has a key of its
own for this, a row of `compliance_subjectkey` like the journal's: it is wrapped and destroyed with them, but retention
leaves it where it is, since what it seals is no entry. Such ids begin with `MARK`."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import closing
from datetime import timedelta
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, transaction
from django.utils import timezone

from compliance.database import ALIAS, first_file, renew
from compliance.journal import slots, tables
from compliance.journal.records import KEY_COLUMNS, KeyRow
from compliance.journal.slots import NoSlot
from compliance.journal.union import see_all_slots
from compliance.models import Erasure, SubjectKey
from compliance.sealing.destroying import PATIENCE
from compliance.sealing.sealer import label
from engine.errors import StoreUnavailable
from tenants import stored_keys
from tenants.keyring import TenantKeys
from tenants.secrets import SealBroken

log = logging.getLogger(__name__)

VERSION: Final = b"\x01"
KEY_ID: Final = 16
NONCE: Final = 12
MARK: Final = b"vault"
HEAD: Final = len(VERSION) + KEY_ID + NONCE
SETTLED: Final = timedelta(hours=1)  # so long after an erasure nobody who has no key is given one for what is old

_INSERT: Final = "INSERT INTO compliance_subjectkey ({columns}) VALUES ({values})"

Item = tuple[str, str, bytes]  # whose, where it will lie, what


class SubjectVault:
    """Keeps no key: whoever was erased is so in the next call. Blocking; any thread with connections of its own."""

    def pseudonym(self, tenant_id: int, user: str) -> str:
        return self.pseudonyms(tenant_id, [user])[user]

    def pseudonyms(self, tenant_id: int, users: Collection[str]) -> dict[str, str]:
        keys = _tenant_keys(tenant_id)
        return {user: keys.pseudonym(user) for user in users}

    def seal(self, tenant_id: int, user: str, place: str, content: bytes) -> bytes:
        (sealed,) = self.seal_all(tenant_id, [(user, place, content)])
        if sealed is None:
            raise StoreUnavailable
        return sealed

    def seal_all(self, tenant_id: int, items: Sequence[Item]) -> list[bytes | None]:
        """In the same order; None: its user was erased moments ago. Keys that had to be made are durable on return."""
        try:
            keys = _tenant_keys(tenant_id)
            names = {user: keys.pseudonym(user) for user, _, _ in items}
            ciphers = _ciphers(tenant_id, keys, set(names.values()))
        except (DatabaseError, sqlite3.Error, NoSlot) as error:
            raise StoreUnavailable from error
        return [
            _sealed(ciphers[names[user]], tenant_id, place, content) if names[user] in ciphers else None
            for user, place, content in items
        ]

    def open(self, tenant_id: int, place: str, sealed: bytes) -> bytes | None:
        (opened,) = self.open_all(tenant_id, [(place, sealed)])
        if isinstance(opened, ValueError):
            raise opened
        return opened

    def open_all(self, tenant_id: int, items: Sequence[tuple[str, bytes]]) -> list[bytes | ValueError | None]:
        """In the same order, with the error that `open` raises in its place."""
        wanted = {_key_id(sealed) for _, sealed in items}
        try:
            keys, rows = _tenant_keys(tenant_id), _wrapped(tenant_id, wanted)
        except (DatabaseError, NoSlot) as error:
            raise StoreUnavailable from error
        return [_opened(keys, rows.get(_key_id(sealed)), tenant_id, place, sealed) for place, sealed in items]


def _tenant_keys(tenant_id: int) -> TenantKeys:
    try:
        keys = stored_keys.stored(tenant_id)
    except DatabaseError as error:
        raise StoreUnavailable from error
    if keys is None:
        raise StoreUnavailable
    return keys


def _sealed(key: tuple[bytes, AESGCM], tenant_id: int, place: str, content: bytes) -> bytes:
    key_id, cipher = key
    nonce = os.urandom(NONCE)
    return VERSION + key_id + nonce + cipher.encrypt(nonce, content, _associated(tenant_id, place))


def _opened(
    keys: TenantKeys, wrapped: bytes | None, tenant_id: int, place: str, sealed: bytes
) -> bytes | ValueError | None:
    if sealed[:1] != VERSION or len(sealed) < HEAD:
        return ValueError("nothing that was sealed here")
    if wrapped is None:
        return None
    nonce, content = sealed[HEAD - NONCE : HEAD], sealed[HEAD:]
    try:
        cipher = AESGCM(keys.unwrap(wrapped, label(tenant_id, _key_id(sealed))))
        return cipher.decrypt(nonce, content, _associated(tenant_id, place))
    except (InvalidTag, SealBroken):
        return ValueError("it was altered, lies elsewhere than it was sealed for, or its tenant's key is gone")


def _key_id(sealed: bytes) -> str:
    return sealed[len(VERSION) : len(VERSION) + KEY_ID].hex()


def _associated(tenant_id: int, place: str) -> bytes:
    return b"clawdbot vault\x00%d\x00%b" % (tenant_id, place.encode("utf-8", "surrogatepass"))


# Keys --------------------------------------------------------------------------------------------------------------


def _ciphers(tenant_id: int, keys: TenantKeys, subjects: set[str]) -> dict[str, tuple[bytes, AESGCM]]:
    found: dict[str, tuple[bytes, AESGCM]] = {}
    _look()
    mine = SubjectKey.objects.for_tenant(tenant_id).filter(subject__in=subjects, pk__startswith=MARK.hex())
    for key_id, subject, wrapped in mine.order_by("created_at").values_list("pk", "subject", "wrapped"):
        try:
            found[subject] = bytes.fromhex(key_id), AESGCM(keys.unwrap(bytes(wrapped), label(tenant_id, key_id)))
        except SealBroken as error:
            log.error("the vault's key %s of tenant %s cannot be opened: %s", key_id, tenant_id, error)
    missing = subjects - found.keys()
    missing -= _erased_lately(tenant_id, missing)
    made: list[KeyRow] = []
    for subject in sorted(missing):
        secret, key_id = os.urandom(32), (MARK + os.urandom(KEY_ID - len(MARK))).hex()
        made.append((key_id, tenant_id, subject, keys.wrap(secret, label(tenant_id, key_id)), time.time()))
        found[subject] = bytes.fromhex(key_id), AESGCM(secret)
    _store(made)
    return found


def _erased_lately(tenant_id: int, subjects: Iterable[str]) -> set[str]:
    """Who is being erased, or was a moment ago: what somebody still holds of theirs must not get a new key."""
    renew(DEFAULT_DB_ALIAS)
    mine = Erasure.objects.for_tenant(tenant_id).filter(subject__in=list(subjects))
    rows = mine.values_list("subject", "requested_at", "erased_at")
    since = timezone.now() - SETTLED
    return {subject for subject, asked, erased in rows if (erased or asked) >= since}


def _wrapped(tenant_id: int, ids: set[str]) -> dict[str, bytes]:
    _look()
    rows = SubjectKey.objects.for_tenant(tenant_id).filter(pk__in=ids).values_list("pk", "wrapped")
    return {key_id: bytes(wrapped) for key_id, wrapped in rows}


def _look() -> None:
    renew(ALIAS)
    see_all_slots(connections[ALIAS])


def _store(rows: Sequence[KeyRow]) -> None:
    """On SQLite into the sequencer's file, where no turn waits; the first file where there is none."""
    if not rows:
        return
    first = first_file()
    if first is None:
        with transaction.atomic(using=ALIAS), connections[ALIAS].cursor() as cursor:
            cursor.executemany(_INSERT.format(columns=", ".join(KEY_COLUMNS), values=", ".join(["%s"] * 5)), rows)
        return
    path = slots.slot_path(first, slots.SEQUENCER)
    if not tables.migrated(path):
        path = first
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)) as database:
        database.execute(f"PRAGMA busy_timeout = {PATIENCE * 1000:.0f}")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("BEGIN IMMEDIATE")
        database.executemany(_INSERT.format(columns=", ".join(KEY_COLUMNS), values="?, ?, ?, ?, ?"), rows)
        database.execute("COMMIT")
