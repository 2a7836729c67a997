"""Signed statements about a tree: checkpoints, and what retention removed.

Part of the stand-alone verifier: the standard library only. The form is C2SP signed-note, a checkpoint is C2SP
tlog-checkpoint with the lines of its extension as `name value`."""

from __future__ import annotations

import base64
import binascii
import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import islice

from compliance.tree.ed25519 import signature_valid
from compliance.tree.hashing import Broken

Keys = dict[tuple[str, bytes], bytes]  # public keys by name and id


class Unreadable(Exception):
    """It is no export, no key, no checkpoint: nothing can be said."""


def key_id(name: str, public: bytes) -> bytes:
    """The four bytes by which a signature names its key."""
    return hashlib.sha256(name.encode() + b"\n\x01" + public).digest()[:4]


def read_keys(text: str) -> Keys:
    """Public keys from lines `name+id+base64`: by name and id. Raises Unreadable."""
    keys: Keys = {}
    for line in text.split():
        name, _, rest = line.partition("+")
        try:
            raw = base64.b64decode(rest.partition("+")[2], validate=True)
        except binascii.Error:
            raw = b""
        if len(raw) != 33 or raw[0] != 1 or key_id(name, raw[1:]).hex() != rest.partition("+")[0]:
            raise Unreadable(f"{line[:80]!r} is no public key of the form name+id+base64")
        keys[name, key_id(name, raw[1:])] = raw[1:]
    if not keys:
        raise Unreadable("no public key is given")
    return keys


def open_note(note: str, keys: Keys) -> list[str]:
    """The lines of a signed note. Raises Broken: nobody we know signed it."""
    text, _, signatures = note.rpartition("\n\n")
    text += "\n"
    believed = False
    for line in signatures.split("\n")[:-1] if signatures.endswith("\n") else ["cut off"]:
        mark, name, encoded = (*line.split(" "), "", "", "")[:3]
        try:
            raw = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        if mark != "\u2014" or len(raw) < 5 or line.count(" ") != 2:
            raise Broken("is not signed in the form of a note")
        public = keys.get((name, raw[:4]))
        believed = believed or (public is not None and signature_valid(public, text.encode(), raw[4:]))
    if believed:
        return text.splitlines()
    raise Broken("is not signed by a key we were given")


class Checkpoint:
    """A signed size and root of a tenant's tree. Raises Broken."""

    def __init__(self, note: str, keys: Keys, tenant_id: int, *, kind: str = "") -> None:
        lines = open_note(note, keys)
        try:
            if lines[0] != origin(tenant_id) + kind:
                raise Broken(f"is of {lines[0]}, not of {origin(tenant_id)}{kind}")
            self.size = int(lines[1])
            self.root = base64.b64decode(lines[2], validate=True)
            self.rest = dict(line.split(" ", 1) for line in lines[3:])
            self.time = float(self.rest["time"])
        except (ValueError, IndexError, KeyError, binascii.Error):
            raise Broken("is signed, but not in the form of a checkpoint") from None


class Pruned(Checkpoint):
    """A signed statement that retention removed the entries at some positions."""

    def __init__(self, note: str, keys: Keys, tenant_id: int) -> None:
        super().__init__(note, keys, tenant_id, kind="/pruned")
        try:
            pairs = [part.split("-") for part in self.rest["positions"].split(",")]
            self.ranges = [(int(start), int(end)) for start, end in pairs]
        except (ValueError, KeyError):
            raise Broken("is signed, but names no positions") from None


def origin(tenant_id: int) -> str:
    return f"clawdbot/journal/{tenant_id}"


class Allowed:
    """Positions that signed statements say were removed."""

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int]] = []  # sorted and disjoint once `missing` is asked
        self._added: list[tuple[int, int]] = []

    def add(self, ranges: Iterable[tuple[int, int]]) -> None:
        self._added.extend(ranges)

    def covers(self, position: int) -> bool:
        return next(self.missing(position, position + 1), None) is None

    def missing(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """What of `start` to `end` no statement names."""
        if self._added:
            self._merge()
        at = max(bisect_right(self._ranges, (start, 1 << 63)) - 1, 0)
        for first, last in islice(self._ranges, at, None):
            if first >= end:
                break
            if last <= start:
                continue
            if first > start:
                yield start, first
            start = last
        if start < end:
            yield start, end

    def _merge(self) -> None:
        merged: list[tuple[int, int]] = []
        for first, last in sorted([*self._ranges, *self._added]):
            if merged and first <= merged[-1][1]:
                merged[-1] = merged[-1][0], max(last, merged[-1][1])
            else:
                merged.append((first, last))
        self._ranges, self._added = merged, []
