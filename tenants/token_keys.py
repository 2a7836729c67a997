"""The keys that our JSON Web Tokens are signed with. The first one signs, every one is accepted.

Where they come from a file, it is read again while the process runs, so that a key is replaced without a restart and
without a refused call: add the new one behind the old, then put it in front, then, when no token of the old one is good
any more, take the old one away."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tenants.secrets import in_full

log = logging.getLogger(__name__)

AGAIN: Final = 1.0  # seconds between two looks at the file


class TokenKeys:
    """`keys` are good as long as `file`, a comma list, says nothing else. `own`: made for tokens and nothing else.

    Safe from several threads."""

    def __init__(
        self,
        keys: Sequence[str],
        file: Path | None = None,
        *,
        own: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.own = own
        self._keys = tuple(keys)
        self._file = file
        self._clock = clock
        self._next = float("-inf") if file is not None else float("inf")

    def all(self) -> tuple[str, ...]:
        """The same object as before as long as nothing has changed. A file that cannot be read at this moment, or is
        half written, says what it said last: half a key may be guessed."""
        if self._clock() >= self._next:
            self._next = self._clock() + AGAIN
            self._read()
        return self._keys

    def _read(self) -> None:
        assert self._file is not None
        try:
            said = self._file.read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            log.warning("JWT_KEY_FILE cannot be read, what it said before counts: %s", error)
            return
        keys = tuple(part.strip() for part in said.split(",") if part.strip())
        if keys == self._keys:
            return
        if in_full(keys, self._keys):
            self._keys = keys
        else:
            log.warning("JWT_KEY_FILE has a key that is too short, what it said before counts")
