"""The sequencer's loop: what is done about the journal beside the turns, one duty after the other, by one process."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from compliance.tree.folding import NotLeading

log = logging.getLogger(__name__)

LONGEST_PAUSE: Final = 30.0  # seconds a duty that fails again and again rests at most

Wait = Callable[[float], bool]


class Duty:
    """`work` is called every `interval` seconds; it says whether more of the same is waiting, and keeps to a second or
    two a call. It may raise anything: that is logged, and it is called again, later and later, while it fails."""

    def __init__(self, name: str, interval: float, work: Callable[[], bool]) -> None:
        self.name = name
        self.interval = interval
        self._work = work
        self._failures = 0
        self.due = 0.0

    def run(self, now: float) -> None:
        """Raises NotLeading."""
        try:
            more = self._work()
        except NotLeading:
            raise
        except Exception:  # a border: one duty's trouble is not the others'  # noqa: BLE001
            self._failures += 1
            pause = min(self.interval * 2 ** min(self._failures - 1, 10), max(LONGEST_PAUSE, self.interval))
            log.exception("%s failed; it is tried again in %.0f s", self.name, pause)
            self.due = now + pause
            return
        if self._failures:
            log.warning("%s works again", self.name)
        self._failures = 0
        self.due = now if more else now + self.interval


def sequence(duties: Sequence[Duty], *, leads: Callable[[], bool], wait: Wait) -> None:
    """Runs the duties until `wait(seconds)`, which pauses, says that it is time to stop, or the lead is lost."""
    while leads():
        now = time.monotonic()
        for duty in duties:
            if duty.due <= now:
                duty.run(time.monotonic())
                if wait(0.0):
                    return
        rest = min(duty.due for duty in duties) - time.monotonic()
        if wait(max(0.0, min(rest, 1.0))):
            return
