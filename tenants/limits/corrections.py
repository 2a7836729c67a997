"""What calls used beyond their estimates, or less: kept until a script takes it to the bucket it belongs to."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from functools import partial

from tenants.handles import Store
from tenants.limits import scripts
from tenants.limits.slots import RIDE, failed, log_failure
from tenants.limits.subjects import marks
from tenants.resp import Reply

Owed = dict[str, tuple[int, int]]  # by bucket: its limit, and tokens


class Corrections:
    """One a process. `patient` are hash tags of which a script leaves within moments anyhow."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._owed: defaultdict[str, Owed] = defaultdict(dict)  # by hash tag
        self._departure: asyncio.TimerHandle | None = None
        self.patient: set[str] = set()

    def add(self, tag: str, key: str, limit: int, tokens: int) -> None:
        """So many more were used than estimated, whatever is in the bucket; negative: less."""
        if not tokens:
            return
        owed = self._owed[tag]
        known = owed.get(key)
        owed[key] = (limit, tokens if known is None else known[1] + tokens)
        if self._departure is None and tag not in self.patient:
            self._departure = asyncio.get_running_loop().call_later(RIDE, self.depart)

    def take(self, tag: str, key: str) -> int:
        """What the next script takes along; `keep` it if the store does not hear of it."""
        owed = self._owed.get(tag)
        taken = owed.pop(key, None) if owed else None
        return taken[1] if taken is not None else 0

    def keep(self, tag: str, owed: Owed, answer: asyncio.Future[Reply]) -> None:
        if failed(answer):
            for key, (limit, tokens) in owed.items():
                _, more = self._owed[tag].get(key, (0, 0))
                self._owed[tag][key] = (limit, tokens + more)

    def hasten(self, tag: str) -> None:
        """No script leaves anyhow any more."""
        self.patient.discard(tag)
        if self._owed.get(tag) and self._departure is None:
            self._departure = asyncio.get_running_loop().call_later(RIDE, self.depart)

    def depart(self) -> None:
        """Sends what no script has taken along."""
        self._departure = None
        for tag in [*self._owed]:
            self.depart_of(tag)

    def depart_of(self, tag: str) -> None:
        for key, (limit, owed) in self._owed.pop(tag, {}).items():
            answer = self.send(tag, key, limit, owed)
            answer.add_done_callback(partial(self.keep, tag, {key: (limit, owed)}))

    def send(self, tag: str, key: str, limit: int, tokens: int) -> asyncio.Future[Reply]:
        """At once, once."""
        answer = self._store.run(scripts.RESERVE, [key, marks(tag)], 1, 0, 0, 0, "", 0, limit, 0, tokens)
        answer.add_done_callback(log_failure)
        return answer

    def close(self) -> None:
        if self._departure is not None:
            self._departure.cancel()
        self.depart()
