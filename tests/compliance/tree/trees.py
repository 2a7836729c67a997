"""Journals with trees for the suites of this folder: entries written without a server, folded, signed, verified."""

from __future__ import annotations

import base64
import hashlib
import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from django.core.files.storage import FileSystemStorage

from compliance.journal import slots, tables
from compliance.journal.records import completion_row, intent_row
from compliance.journal.signing import Signer
from compliance.journal.sqlite import SqliteStore
from compliance.tree.checkpoints import Checkpointer
from compliance.tree.folding import Folder
from compliance.tree.leading import lead
from compliance.tree.sources import Sources
from compliance.tree.verifying import verify
from engine.turn import new_turn_id
from engine.types import Message
from tests.compliance.journals import completion, intent

KEY = base64.b64encode(hashlib.sha256(b"the tests' own").digest()).decode()
SIGNER = Signer(KEY)


class Tree:
    """A journal in `path` and what a sequencer does about it, step by step."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.storage = FileSystemStorage(location=path.parent / "objects")
        self.said: list[str] = []
        self.now = time.time

    def write(self, turns: int, *, tenants: int = 1, slot: int = 0, at: float | None = None, text: str = "Hi") -> None:
        """Turns with their ends, of tenants 1 to `tenants` in turn, into the file of the slot."""
        if slot:
            tables.migrate_slot(self.path, slot)
        held = slots.take(self.path, slot)
        assert held is not None
        store = SqliteStore(held, f"w{slot}")
        store.open()
        rows, messages = [], [Message(role="user", content=text)]
        for number in range(turns):
            when = time.time() if at is None else at + number * 1e-3
            asked = intent(new_turn_id(when), tenant_id=1 + number % tenants, at=when, messages=messages)
            rows += [intent_row(asked, store.worker), completion_row(completion(asked, at=when), store.worker)]
        for start in range(0, len(rows), 200):
            store.append(rows[start : start + 200])
        store.close(finished=True)

    def fold(self, *, sign: bool = True) -> int:
        """How many entries were folded."""
        count = 0
        leader = lead()
        assert leader is not None
        with leader, Sources() as sources:
            folder = Folder(leader.alias)
            while folded := folder.fold(sources.all()):
                count += folded
            if sign:
                while Checkpointer(leader.alias, SIGNER, self.storage, self.said.append, now=self.now).work():
                    pass
        return count

    def verify(self, tenant_id: int | None = None, keys=SIGNER.keys):
        return verify(keys, self.storage, tenant_id)

    def change(self, statement: str, *values: object, slot: int = 0) -> int:
        """A tamperer's hand in a file; how many rows it touched."""
        with closing(sqlite3.connect(slots.slot_path(self.path, slot))) as database, database:
            return database.execute(statement, values).rowcount

    def rows(self, statement: str, *values: object, slot: int = 0) -> list[tuple]:
        with closing(sqlite3.connect(slots.slot_path(self.path, slot))) as database:
            return database.execute(statement, values).fetchall()


@pytest.fixture
def tree(journal_alias):
    return Tree(journal_alias)


@pytest.fixture
def seeded():
    """Random, and the same every time."""
    return random.Random(7)
