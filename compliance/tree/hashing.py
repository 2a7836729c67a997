"""What is hashed and how: the leaf of an entry, and the tree of RFC 6962, section 2.1.

Part of the stand-alone verifier: the standard library only.

Leaf: SHA-256 of a zero byte, the stored columns as `LEAF_HEAD` and texts in UTF-8, the stored body."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from typing import Any

# number, tenant_id, at, key_id (0 for none), flags, then the lengths of the texts in the order of TEXTS
LEAF_HEAD = struct.Struct(">qqdqB8I")
NO_SESSION, NO_KEY = 1, 2  # flags: the column is NULL
TEXTS = ("turn_id", "kind", "worker", "session_id", "user", "model", "instance", "state")


class Broken(Exception):
    """What was altered."""


def leaf_hash(columns: dict[str, Any]) -> bytes:
    """The leaf of an entry: its stored columns, `body` as bytes. Raises Broken: a column of another type."""
    try:
        texts = [(columns[name] or "").encode() if name == "session_id" else columns[name].encode() for name in TEXTS]
        session_id, key_id = columns["session_id"], columns["key_id"]
        flags = (NO_SESSION if session_id is None else 0) | (NO_KEY if key_id is None else 0)
        numbers = (columns["number"], columns["tenant_id"], columns["at"], 0 if key_id is None else key_id, flags)
        head = LEAF_HEAD.pack(*numbers, *map(len, texts))
        return hashlib.sha256(b"".join((b"\x00", head, *texts, columns["body"]))).digest()
    except (KeyError, TypeError, AttributeError, struct.error, UnicodeError) as error:
        raise Broken(f"a column is missing or of another type ({error})") from None


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """A tree that only grows: `hashes` are the roots of its complete subtrees, the largest first."""

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        self.size = size
        self.hashes = list(hashes)

    def append(self, value: bytes, level: int = 0) -> None:
        """A leaf, or the root of a complete subtree of 2**level leaves where one begins."""
        index = self.size >> level
        if index << level != self.size:
            raise Broken(f"no subtree of {1 << level} leaves begins at position {self.size}")
        if level and not level & 7:
            self.completed(level, index, value)
        self.size += 1 << level
        while index & 1:
            value = node_hash(self.hashes.pop(), value)
            index >>= 1
            level += 1
            if not level & 7:
                self.completed(level, index, value)
        self.hashes.append(value)

    def extend(self, leaves: bytes) -> None:
        """Many leaves, 32 bytes each: faster than one by one."""
        sha256 = hashlib.sha256
        start = 0
        for level, _ in subtrees(self.size, self.size + len(leaves) // 32):
            for _ in range(1 << max(0, level - 8)):
                end = start + (32 << min(level, 8))
                part = leaves[start:end]
                while len(part) > 32:
                    part = b"".join([sha256(b"\x01" + part[i : i + 64]).digest() for i in range(0, len(part), 64)])
                self.append(part, min(level, 8))
                start = end

    def completed(self, level: int, index: int, value: bytes) -> None:
        """A subtree of 2**8, 2**16 or 2**24 leaves is complete: for whoever keeps them."""

    def root(self) -> bytes:
        if not self.hashes:
            return hashlib.sha256(b"").digest()
        value = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            value = node_hash(left, value)
        return value


def subtrees(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The largest complete subtrees that fill `start` to `end`, from left to right, as (level, index)."""
    while start < end:
        level = (end - start).bit_length() - 1
        if start:
            level = min(level, (start & -start).bit_length() - 1)
        yield level, start >> level
        start += 1 << level
