"""A tamperer with a hand in every file of the journal but not on the signing key, nor in the object storage."""

from __future__ import annotations

import os
import random
import sqlite3
from base64 import b64encode
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

from compliance.journal import slots
from compliance.journal.signing import Signer
from compliance.models import Checkpoint, TreeHead
from compliance.tree.checkpoints import checkpoint_lines, root_of
from compliance.tree.database import open_file
from compliance.tree.folding import Folder
from compliance.tree.sources import SqliteFile

ENTRY = "compliance_auditentry"
TEXTS = ("turn_id", "kind", "worker", "session_id", "user", "model", "instance", "state")
NUMBERS = ("number", "tenant_id", "key_id")
TREE = ("compliance_treerun", "compliance_treenode", "compliance_treehead", "compliance_treecursor")


class Tamperer:
    """`edit()` alters the journal in `first` and its sequencer's file in one random way and says how; `restore()` takes
    it back. All entries must be folded and signed, nobody else may have the files open for writing."""

    def __init__(self, first: Path, random_: random.Random) -> None:
        self._random = random_
        self._paths = [first, slots.slot_path(first, slots.SEQUENCER)]
        self._stack = ExitStack()
        self._files = [
            self._stack.enter_context(closing(sqlite3.connect(p, isolation_level=None))) for p in self._paths
        ]
        self._kept = [self._stack.enter_context(closing(sqlite3.connect(":memory:"))) for _ in self._paths]
        for file, kept in zip(self._files, self._kept, strict=True):
            file.execute("PRAGMA synchronous = OFF")
            file.backup(kept)
        self._entries, self._tree = self._files
        self._edits: list[Callable[[], str]] = [
            self._text, self._number, self._time, self._body, self._type, self._delete, self._insert, self._exchange,
            self._swap_bodies, self._cut_off, self._rehash_edited, self._rehash_inserted, self._rehash_deleted,
            self._sign_oneself, self._leaf, self._leaves_gone, self._head, self._node, self._place, self._checkpoint,
        ]  # fmt: skip

    def close(self) -> None:
        self._stack.close()

    def edit(self) -> str:
        return self._random.choice(self._edits)()

    def each(self) -> list[Callable[[], str]]:
        """Every way there is."""
        return list(self._edits)

    def restore(self) -> None:
        for file, kept in zip(self._files, self._kept, strict=True):
            kept.backup(file)

    # Rows ---------------------------------------------------------------------------------------------------------

    def _text(self) -> str:
        column, number = self._random.choice(TEXTS), self._some()
        (old,) = self._get(f'"{column}"', number)
        new = self._random.choice([None, "", "x", "intent", (old or "")[:-1], (old or "") + " ", (old or "").upper()])
        if new == old or (new is None and column != "session_id"):
            new = f"{old}x"
        self._set(column, new, number)
        return f"{column} of entry {number}: {old!r} became {new!r}"

    def _number(self) -> str:
        column, number = self._random.choice(NUMBERS), self._some()
        (old,) = self._get(column, number)
        new = self._random.choice([(old or 0) + 1, (old or 0) + 256, *([None] if column == "key_id" and old else [])])
        self._set(column, new, number)
        return f"{column} of entry {number}: {old} became {new}"

    def _time(self) -> str:
        number = self._some()
        (old,) = self._get("at", number)
        new = old + self._random.choice([-1.0, 1e-6, 86400.0])
        self._set("at", new, number)
        return f"the time of entry {number} moved by {new - old}"

    def _body(self) -> str:
        number = self._some()
        body = bytearray(self._get("body", number)[0])
        place = self._random.randrange(len(body))
        change = self._random.choice(["flip", "drop", "add"])
        if change == "flip":
            body[place] ^= 1 << self._random.randrange(8)
        elif change == "drop":
            del body[place]
        else:
            body.insert(place, self._random.randrange(256))
        self._set("body", bytes(body), number)
        return f"{change} of byte {place} of the body of entry {number}"

    def _type(self) -> str:
        column, number = self._random.choice(["body", "turn_id", "kind", "user", "worker"]), self._some()
        kind = "TEXT" if column == "body" else "BLOB"
        self._entries.execute(f'UPDATE {ENTRY} SET "{column}" = CAST("{column}" AS {kind}) WHERE id = ?', (number,))
        return f"{column} of entry {number} is of another type"

    def _delete(self) -> str:
        numbers = self._random.sample(self._ids(), self._random.choice([1, 1, 2, 5]))
        self._entries.executemany(f"DELETE FROM {ENTRY} WHERE id = ?", [(number,) for number in numbers])
        return f"entries {numbers} are gone"

    def _insert(self) -> str:
        number = self._random.choice([0, -1, -(1 << 40)])
        self._copy(self._some(), number)
        return f"an entry was put in as {number}"

    def _exchange(self) -> str:
        one, other = self._random.sample(self._ids(), 2)
        for old, new in ((one, -1), (other, one), (-1, other)):
            self._entries.execute(f"UPDATE {ENTRY} SET id = ? WHERE id = ?", (new, old))
        return f"entries {one} and {other} exchanged their places"

    def _swap_bodies(self) -> str:
        one, other = self._random.sample(self._ids(), 2)
        first, second = self._get("body", one)[0], self._get("body", other)[0]
        self._set("body", second, one)
        self._set("body", first, other)
        return f"entries {one} and {other} exchanged their bodies"

    # Rows, and the tree made to fit them ----------------------------------------------------------------------------

    def _cut_off(self) -> str:
        count = self._random.randint(1, 10)
        self._entries.execute(
            f"DELETE FROM {ENTRY} WHERE id IN (SELECT id FROM {ENTRY} ORDER BY id DESC LIMIT ?)", (count,)
        )
        self._rehash()
        self._tree.execute("DELETE FROM compliance_checkpoint")
        return f"the last {count} entries are gone, with their leaves and the table's checkpoints"

    def _rehash_edited(self) -> str:
        told = self._random.choice([self._text, self._number, self._time, self._body])()
        self._rehash()
        return f"{told}; the tree was made to fit"

    def _rehash_inserted(self) -> str:
        self._copy(self._some(), 0)
        self._rehash()
        return "an entry was put in; the tree was made to fit"

    def _rehash_deleted(self) -> str:
        told = self._delete()
        self._rehash()
        return f"{told}; the tree was made to fit"

    def _sign_oneself(self) -> str:
        told = self._rehash_edited()
        signer = Signer(b64encode(os.urandom(32)).decode())
        self._tree.execute("DELETE FROM compliance_checkpoint")
        with open_file(self._paths[1]) as alias:
            for head in TreeHead.objects.using(alias).everywhere():
                note = signer.note(checkpoint_lines(head.tenant_id, head.size, root_of(head), 1.0))
                Checkpoint.objects.using(alias).create(tenant_id=head.tenant_id, size=head.size, at=1.0, note=note)
        return f"{told}, and signed with another key"

    def _rehash(self) -> None:
        for table in TREE:
            self._tree.execute(f"DELETE FROM {table}")
        source = SqliteFile(0, self._paths[0])
        with open_file(self._paths[1]) as alias:
            while Folder(alias).fold([source]):
                pass
        source.close()

    # The tree -------------------------------------------------------------------------------------------------------

    def _leaf(self) -> str:
        run, hashes = self._random.choice(self._tree.execute("SELECT id, hashes FROM compliance_treerun").fetchall())
        altered = bytearray(hashes)
        altered[self._random.randrange(len(altered))] ^= 1
        self._tree.execute("UPDATE compliance_treerun SET hashes = ? WHERE id = ?", (bytes(altered), run))
        return "a leaf was altered"

    def _leaves_gone(self) -> str:
        self._tree.execute("DELETE FROM compliance_treerun WHERE id = (SELECT max(id) FROM compliance_treerun)")
        return "leaves are gone"

    def _head(self) -> str:
        change = self._random.choice(["size = size + 1", "size = size - 1", "frontier = x''"])
        self._tree.execute(f"UPDATE compliance_treehead SET {change}")
        return f"the heads: {change}"

    def _node(self) -> str:
        self._tree.execute("INSERT OR REPLACE INTO compliance_treenode VALUES (NULL, 1, 8, 77, zeroblob(32))")
        return "an inner node was put in"

    def _place(self) -> str:
        self._tree.execute("UPDATE compliance_treecursor SET entry_id = entry_id - 1 WHERE source = 0")
        return "the sequencer's place was moved back"

    def _checkpoint(self) -> str:
        change = self._random.choice(["replace(note, 'journal', 'journey')", "'' || note || 'x'", "''"])
        self._tree.execute(
            f"UPDATE compliance_checkpoint SET note = {change} WHERE id = (SELECT max(id) FROM compliance_checkpoint)"
        )
        return f"a checkpoint became {change}"

    # ----------------------------------------------------------------------------------------------------------------

    def _ids(self) -> list[int]:
        return [row[0] for row in self._entries.execute(f"SELECT id FROM {ENTRY} ORDER BY id")]

    def _some(self) -> int:
        return self._random.choice(self._ids())

    def _get(self, column: str, number: int) -> tuple:
        return self._entries.execute(f"SELECT {column} FROM {ENTRY} WHERE id = ?", (number,)).fetchone()

    def _set(self, column: str, value: object, number: int) -> None:
        try:
            self._entries.execute(f'UPDATE {ENTRY} SET "{column}" = ? WHERE id = ?', (value, number))
        except sqlite3.IntegrityError:  # (turn, kind, number) is there already
            self._entries.execute(f'UPDATE {ENTRY} SET "{column}" = ? WHERE id = ?', (f"{value}?", number))

    def _copy(self, of: int, number: int) -> None:
        columns = [row[1] for row in self._entries.execute(f"PRAGMA table_info({ENTRY})")]
        taken = {"id": "?", "turn_id": "lower(hex(randomblob(16)))"}
        values = ", ".join(taken.get(column, f'"{column}"') for column in columns)
        self._entries.execute(f"INSERT INTO {ENTRY} SELECT {values} FROM {ENTRY} WHERE id = ?", (number, of))
