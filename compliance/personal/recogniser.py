"""What a recogniser is."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

SEPARATORS: Final = " -./()"


class Recogniser(NamedTuple):
    """One form of one kind of personal data. `name` is what tenants switch on and records count, `label` stands in
    placeholders.

    `pattern` is matched where a group of digits begins, or, where the number begins with `letters`, at those; behind it
    no letter or digit may follow, unless it ends with a bracket. It is bounded, so that looking for it takes constant
    time at each place. `check` is given what matched without the signs of `dropped`, letters in upper case."""

    name: str
    label: str
    pattern: str
    check: Callable[[str], bool]
    letters: bool = False
    dropped: str = SEPARATORS

    def compiled(self) -> re.Pattern[str]:
        return re.compile(rf"(?:{self.pattern})(?:(?<=\))|(?![0-9A-Za-z]))")

    def accepts(self, found: str) -> bool:
        for sign in self.dropped:
            if sign in found:
                found = found.replace(sign, "")
        return self.check(found.upper())
