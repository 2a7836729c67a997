"""The door to whatever takes events: what a plugin declares, and what the publisher calls. `docs/queues.md`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from plugins.outbox.events import TURN_TYPES, Event


class SinkError(Exception):
    """
    SinkError
    ├── SinkAway        it takes nothing now: everything waits for it, in the journal
    └── EventRefused    it does not take this event; others it may
        └── SinkGone    it says that it takes no event any more: the sink is switched off

    The text is shown to the tenant: no secrets. `status` is an HTTP status, 0: there was none.
    """

    def __init__(self, text: str, status: int = 0) -> None:
        self.status = status
        super().__init__(text)


class SinkAway(SinkError):
    pass


class EventRefused(SinkError):
    pass


class SinkGone(EventRefused):
    pass


class Sink(Protocol):
    """Something that takes events. Blocking; used by one thread at a time, and closed before it is opened anew."""

    def send(self, event: Event) -> int:
        """Returns once the other side has confirmed that the event is safe with it; an HTTP status, or 0. Raises
        SinkAway, EventRefused, SinkGone; whatever else it raises counts as SinkAway."""

    def close(self) -> None: ...


@dataclass(frozen=True)
class SinkSpec:
    """A sink as it is declared. `name` tells apart those of one plugin and must stay the same: the place in the journal
    hangs on it. `content`: messages and answers are sent too. `patience`: longest pause between two tries, in seconds.
    `given_up`: an event that is refused again and again is given up after so many seconds."""

    name: str
    open: Callable[[], Sink]
    events: tuple[str, ...] = TURN_TYPES
    content: bool = False
    patience: float = 15.0
    given_up: float = 24 * 3600.0
    label: str = ""
    key: object = field(default=None)
    """Equal keys: what was opened goes on. It must change with every setting that `open` uses."""


LONGEST_ERROR: Final = 300
