"""Seals what the journal is about to store, each turn with the key of its user."""

from __future__ import annotations

import os
import struct
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from compliance.journal.records import COMPLETION, INTENT, SESSION, KeyRow, Row
from compliance.sealing import body
from engine.snapshots import Cell
from tenants.keyring import KeyTable

MOST: Final = 8192  # subjects whose keys a process has at hand: about 2.5 KiB each
NAMING: Final = (INTENT, SESSION)  # entries whose user stands beside them
# What a row that no database would take either can do to its own sealing: lone surrogates, numbers beyond 64 bits.
UNSEALABLE: Final = (UnicodeError, struct.error)


class DataKey:
    """The key of one subject in this process. `row` is what must be stored with the first entry that it seals, None
    once that is durable.

    Only one thread of one process seals with a key, so its nonces are counted (SP 800-38D, 8.2.1) after four bytes of
    chance."""

    __slots__ = ("_count", "_salt", "cipher", "id", "row", "subject")

    def __init__(self, subject: str, secret: bytes) -> None:
        self.id = os.urandom(body.KEY_ID)
        self.subject = subject
        self.cipher = AESGCM(secret)
        self.row: KeyRow | None = None
        self._salt = os.urandom(4)
        self._count = 0

    def nonce(self) -> bytes:
        self._count += 1
        return self._salt + self._count.to_bytes(8, "big")


class Sealer:
    """Belongs to the writer's thread, but for `knows` and `forget`, which any may call.

    A key that was evicted or forgotten is never used again: the subject's next entry has a new one."""

    def __init__(self, keys: Cell[KeyTable], *, most: int = MOST) -> None:
        self._tenants = keys
        self._most = most
        self._known: OrderedDict[tuple[int, str], DataKey] = OrderedDict()
        self._pending: dict[str, DataKey] = {}
        self._forgotten: deque[tuple[int, str]] = deque()

    def knows(self, tenant_id: int) -> bool:
        """Whether entries of the tenant can be sealed such that they can be opened again."""
        return tenant_id in self._tenants.value

    def forget(self, subjects: Iterable[tuple[int, str]]) -> None:
        """Tenants and pseudonyms whose keys were destroyed: from the next batch on they are not used."""
        self._forgotten.extend(subjects)

    def seal(self, rows: Sequence[Row], users: Mapping[str, str]) -> tuple[list[Row], list[KeyRow]]:
        """The rows as they are stored, and the keys that must be stored with them. `users` has the users of turns whose
        rows do not say. The same rows may be sealed again if they could not be stored. Raises one of UNSEALABLE."""
        if self._forgotten:
            self._forget()
        keys: dict[str, KeyRow] = {}
        return [self._sealed(row, users, keys) for row in rows], list(keys.values())

    def durable(self, keys: Iterable[KeyRow]) -> None:
        """These are stored: they need not be again."""
        for row in keys:
            if (key := self._pending.pop(row[0], None)) is not None:
                key.row = None

    def _sealed(self, row: Row, users: Mapping[str, str], keys: dict[str, KeyRow]) -> Row:
        turn_id, kind, number, tenant_id, at, worker, session_id, user, key_id, model, instance, state, content = row
        if content[0] == body.PLAIN:
            if kind == COMPLETION:
                return row  # an end without an answer, in place of what could not be recorded: there is no text in it
            content = body.unsealed(b"{}", content)
        key = self._key(tenant_id, user or users.get(turn_id, ""))
        if key.row is not None:
            keys[key.row[0]] = key.row
        sealed = body.seal(content, key.cipher, key.id, key.nonce(), (turn_id, kind, number, tenant_id))
        return (
            turn_id, kind, number, tenant_id, at, worker, session_id, key.subject if kind in NAMING else "", key_id,
            model, instance, state, sealed,
        )  # fmt: skip

    def _key(self, tenant_id: int, user: str) -> DataKey:
        name = (tenant_id, user)
        key = self._known.get(name)
        if key is None:
            return self._make(tenant_id, user)
        self._known.move_to_end(name)
        return key

    def _make(self, tenant_id: int, user: str) -> DataKey:
        secret = os.urandom(32)
        tenant = self._tenants.value.get(tenant_id)
        if tenant is None:  # gone, its key with it: what its last turns still say can be opened by nobody
            return DataKey("", secret)
        key = DataKey(tenant.pseudonym(user), secret)
        name = key.id.hex()
        key.row = (name, tenant_id, key.subject, tenant.wrap(secret, label(tenant_id, name)), time.time())
        self._pending[name] = self._known[tenant_id, user] = key
        if len(self._known) > self._most:
            _, old = self._known.popitem(last=False)
            self._pending.pop(old.id.hex(), None)
        return key

    def _forget(self) -> None:
        gone = set()
        while self._forgotten:
            gone.add(self._forgotten.popleft())
        for name in [name for name, key in self._known.items() if (name[0], key.subject) in gone]:
            self._pending.pop(self._known.pop(name).id.hex(), None)


def label(tenant_id: int, key_id: str) -> str:
    """What a wrapped key is bound to."""
    return f"{tenant_id}:{key_id}"
