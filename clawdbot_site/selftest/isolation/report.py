"""What came of an attack: for people and for programs."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import msgspec

Kind = Literal["shown", "told apart", "let in", "changed", "not covered", "failed"]
SAID: dict[str, str] = {
    "shown": "what is somebody else's was shown",
    "told apart": "an id of somebody else's is answered unlike one that nobody has",
    "let in": "whoever may not was let in",
    "changed": "something of somebody else's is not what it was",
    "not covered": "nothing here opens this door even for its owner, so nothing was tested",
    "failed": "the server broke",
}


class Finding(msgspec.Struct, frozen=True):
    """`door` is a method and an address, a frame or a procedure; `who` attacked."""

    door: str
    who: str
    kind: Kind
    said: str = ""

    def __str__(self) -> str:
        return f"{self.door}, as {self.who}: {SAID[self.kind]}{f' ({self.said})' if self.said else ''}"


class Report(msgspec.Struct):
    """`attacks` by kind of door. `could_run` False: `error` says why, and nothing is known."""

    doors: dict[str, int] = {}
    attacks: dict[str, int] = {}
    findings: list[Finding] = []
    seconds: float = 0.0
    database: str = ""
    could_run: bool = True
    error: str = ""

    @property
    def holds(self) -> bool:
        return self.could_run and not self.findings and sum(self.attacks.values()) > 0

    @property
    def code(self) -> int:
        """Of the command: 0 holds, 1 broken, 2 could not run."""
        return 2 if not self.could_run else 0 if self.holds else 1

    def lines(self) -> list[str]:
        if not self.could_run:
            return [f"The test could not be run: {self.error}"]
        told = [f"{kind}: {count} doors, {self.attacks.get(kind, 0)} attacks" for kind, count in self.doors.items()]
        told += [str(finding) for finding in self.findings]
        kinds = Counter(finding.kind for finding in self.findings)
        end = "Tenants are kept apart." if self.holds else f"TENANTS ARE NOT KEPT APART: {dict(kinds)}"
        return [*told, f"{sum(self.attacks.values())} attacks in {self.seconds:.0f} s on {self.database}.", end]

    def json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode({**msgspec.to_builtins(self), "holds": self.holds}), indent=2)
