"""Verifies an export of the audit journal: needs this file, the export and the public key; nothing of the platform.

    python verify_journal.py EXPORT --key KEY [--checkpoint FILE]...

EXPORT is the JSON Lines file (`-`: standard input); KEY a line as `manage.py audit publickey` prints it, or a file of
such lines; FILE a checkpoint that was kept outside, which the export must agree with. Exit 0: every entry is as it was
when the checkpoint was signed and none is missing, 1: something was altered, 2: it could not be checked.

Such a file is made by `manage.py audit verifier` from this module and the three it imports; the platform uses the same
functions, so there is one implementation. Python 3.10 or later.

An export is one JSON object a line: the header (`form tenant first end checkpoints`), statements of what retention
removed (`pruned`), then what fills the tree from left to right: entries (`position`, the columns, `body` in base64) and
gaps (`gap: [from, to]`, the hashes of the largest complete subtrees that fill it). Gaps outside `first` to `end` are
what was not exported; inside, only what a signed statement names may be missing."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterable
from typing import Any

from compliance.tree.hashing import TEXTS, Broken, Frontier, leaf_hash, subtrees
from compliance.tree.notes import Allowed, Checkpoint, Keys, Pruned, Unreadable, read_keys

FORM = "clawdbot-journal-1"
SHOWN = 20
WHOLE = {"number", "tenant_id", "position"}  # columns that are whole numbers; `key_id` and `session_id` may be null
COLUMNS = {*TEXTS, *WHOLE, "at", "key_id", "body", "leaf"}
MALFORMED = (ValueError, KeyError, TypeError, OverflowError, RecursionError)


class Verdict:
    """What was checked, and what is wrong: `findings`."""

    def __init__(self) -> None:
        self.entries = 0
        self.removed = 0
        self.findings: list[str] = []
        self.summary = ""

    @property
    def holds(self) -> bool:
        return not self.findings


def check_export(lines: Iterable[str | bytes], keys: Keys, outside: Iterable[str] = ()) -> Verdict:
    """All an export can tell, in one pass and constant memory. Raises Unreadable: its first line is no header."""
    lines = iter(lines)
    try:
        header = _loads(next(lines, ""))
        tenant_id, first, end = int(header["tenant"]), int(header["first"]), int(header["end"])
        if header["form"] != FORM or not 0 <= first <= end:
            raise ValueError
        notes = [str(note) for note in header["checkpoints"]]
    except MALFORMED:
        raise Unreadable(f"the first line is no header of the form {FORM}") from None
    verdict = Verdict()
    check = _Check(verdict, keys, tenant_id, first, end)
    check.demand(notes, "the export's checkpoint")
    check.demand(outside, "the checkpoint kept outside")
    for number, line in enumerate(lines, 2):
        try:
            check.line(_loads(line))
        except Broken as error:
            verdict.findings.append(f"line {number}: {error}")
            return verdict  # what follows has no known place in the tree
        except MALFORMED:
            verdict.findings.append(f"line {number}: is not in the form of an export")
            return verdict
    check.finish()
    return verdict


class _Check:
    def __init__(self, verdict: Verdict, keys: Keys, tenant_id: int, first: int, end: int) -> None:
        self._verdict, self._keys = verdict, keys
        self._tenant_id, self._first, self._end = tenant_id, first, end
        self._tree = Frontier()
        self._wanted: dict[int, list[tuple[str, Checkpoint]]] = {}
        self._allowed = Allowed()
        self._covered = 0  # the largest size whose root was compared

    def demand(self, notes: Iterable[str], name: str) -> None:
        """The tree must have this root at this size."""
        for note in notes:
            try:
                checkpoint = Checkpoint(note, self._keys, self._tenant_id)
                self._wanted.setdefault(checkpoint.size, []).append((name, checkpoint))
            except Broken as error:
                self._verdict.findings.append(f"{name} {error}")
        self._compare()

    def line(self, line: dict[str, Any]) -> None:
        if "gap" in line:
            start, end = line["gap"]
            self._gap(int(start), int(end), line["hashes"])
        elif "pruned" in line:
            self._allowed.add(Pruned(str(line["pruned"]), self._keys, self._tenant_id).ranges)
        else:
            self._entry(line)
        self._compare()

    def _gap(self, start: int, end: int, hashes: list[str]) -> None:
        if start != self._tree.size or end <= start:
            raise Broken(f"a gap from {start} where position {self._tree.size} should be")
        for first, last in self._allowed.missing(max(start, self._first), min(end, self._end)):
            self._verdict.findings.append(f"positions {first} to {last - 1}: the entries are missing")
        self._verdict.removed += max(0, min(end, self._end) - max(start, self._first))
        for (level, _), value in zip(subtrees(start, end), hashes, strict=True):
            self._tree.append(_hash(value), level)

    def _entry(self, line: dict[str, Any]) -> None:
        position = self._tree.size
        if line["position"] != position:
            raise Broken(f"position {line['position']} where position {position} should be")
        if line.keys() != COLUMNS or not _typed(line):
            raise Broken(f"position {position}: has not the columns of an entry")
        if not self._first <= position < self._end:
            self._verdict.findings.append(f"position {position}: lies outside of what was exported")
        columns = {**line, "body": base64.b64decode(line["body"], validate=True)}
        place = f"position {position}, {line.get('kind')} of turn {line.get('turn_id')}"
        try:
            leaf = leaf_hash(columns)
        except Broken as error:
            raise Broken(f"{place}: {error}") from None
        if leaf != _hash(line["leaf"]):
            self._verdict.findings.append(f"{place}: was altered")
        if line["tenant_id"] != self._tenant_id:
            self._verdict.findings.append(f"{place}: belongs to tenant {line['tenant_id']}")
        self._tree.append(leaf)
        self._verdict.entries += 1

    def _compare(self) -> None:
        for name, checkpoint in self._wanted.pop(self._tree.size, []):
            self._covered = self._tree.size
            if self._tree.root() != checkpoint.root:
                self._verdict.findings.append(
                    f"{name} of size {checkpoint.size}: another root; an entry before it was altered"
                )
            elif checkpoint.size >= self._end:
                self._verdict.summary = (
                    f"positions {self._first} to {self._end - 1} of tenant {self._tenant_id} are those of the "
                    f"checkpoint of size {checkpoint.size}, signed at {checkpoint.time:.3f}"
                )

    def finish(self) -> None:
        size, findings = self._tree.size, self._verdict.findings
        for wanted, checkpoints in sorted(self._wanted.items()):
            for name, _ in checkpoints:
                what = "the export ends before it" if wanted > size else "lies within a gap: export with it to check it"
                findings.append(f"{name} of size {wanted}: {what}")
        if size < self._end:
            findings.append(f"positions {size} to {self._end - 1}: the export ends before them")
        elif self._covered < size:
            findings.append(f"positions {self._covered} to {size - 1}: no checkpoint covers them")
        if not findings and not self._verdict.summary:
            findings.append("no checkpoint covers the entries: nothing is proved")


def _loads(line: str | bytes) -> Any:
    """Of a name that is there twice a reader may take either value, and only one was hashed."""
    return json.loads(line, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found


def _typed(line: dict[str, Any]) -> bool:
    """`true` is no 1, as far as Python tells them apart."""
    numbers = all(type(line[name]) is int for name in WHOLE) and type(line["key_id"]) in (int, type(None))
    return numbers and type(line["at"]) in (int, float) and isinstance(line["session_id"], (str, type(None)))


def _hash(value: str) -> bytes:
    raw = base64.b64decode(value, validate=True)
    if len(raw) != 32:
        raise ValueError("not a hash")
    return raw


def report(verdict: Verdict) -> str:
    shown = [*verdict.findings[:SHOWN], *(["…"] if len(verdict.findings) > SHOWN else [])]
    told = f"{verdict.entries} entries checked, {verdict.removed} removed by retention"
    end = f"THE EXPORT WAS ALTERED: {len(verdict.findings)} findings" if shown else f"it holds: {verdict.summary}"
    return "\n".join([told, *shown, end])


def main(arguments: list[str]) -> int:
    names, keys, outside = [], "", []
    rest = iter(arguments)
    try:
        for word in rest:
            if word == "--key":
                keys += next(rest, "") + "\n"
            elif word == "--checkpoint":
                outside.append(next(rest, ""))
            else:
                names.append(word)
        if len(names) != 1 or not keys:
            raise Unreadable("usage: verify_journal.py EXPORT --key KEY [--checkpoint FILE]...")
        notes = [note_of(_read(name)) for name in outside]
        verdict = check_file(names[0], key_text(keys), notes)
    except (Unreadable, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(report(verdict) + "\n")
    return 0 if verdict.holds else 1


def check_file(name: str, keys: str, outside: Iterable[str] = ()) -> Verdict:
    """Raises Unreadable, OSError."""
    if name == "-":
        return check_export(sys.stdin.buffer, read_keys(keys), outside)
    with open(name, "rb") as lines:
        return check_export(lines, read_keys(keys), outside)


def key_text(given: str) -> str:
    """Each word of `given` is a key itself, or the name of a file of keys."""
    return "\n".join(word if "+" in word else _read(word) for word in given.split())


def note_of(text: str) -> str:
    """A checkpoint as it is kept: the note itself, or a JSON object that holds it as `note`."""
    if text.startswith("{"):
        try:
            return str(json.loads(text)["note"])
        except (ValueError, KeyError):
            raise Unreadable("the file of a checkpoint holds none") from None
    return text


def _read(name: str) -> str:
    with open(name, encoding="utf-8") as file:
        return file.read()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
