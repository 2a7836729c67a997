"""What a replay reads of the journal's entries: the parts of `engine.entries.Intent` and `Completion` it needs, to be
decoded without the rest, and the recorded features as a mapping for conditions."""

from __future__ import annotations

from math import inf
from typing import Any, Final

import msgspec

from engine.types import AUTO, Source, Task, Usage
from routing.features import may_be_left_out

ALWAYS: Final = frozenset({"stream", "has_tools", "has_images", "hour"})
"""Features that every request has. A record with all of them is one that holds every feature there was; older records
hold those a rule had read."""


class NotRecorded(Exception):
    """A rule reads a feature of which the record does not say whether it was there."""

    def __init__(self, field: str) -> None:
        self.field = field
        super().__init__(field)


class RecordedCandidate(msgspec.Struct, frozen=True, gc=False):
    """`model` is the public name; empty in older records."""

    id: int
    instance: str = ""
    model: str = ""
    weight: float = 1
    removed: str | None = None


class PassedOver(msgspec.Struct, frozen=True, gc=False):
    """A pool nobody was left of."""

    candidates: list[RecordedCandidate] = []


class Fallback(msgspec.Struct, frozen=True, gc=False):
    """`context_window`: the room of the instances that were asked for their room, None where it is not limited."""

    context_window: int | None | msgspec.UnsetType = msgspec.UNSET

    @property
    def window(self) -> float | None:
        """None: it was not for its room."""
        if self.context_window is msgspec.UNSET:
            return None
        return inf if self.context_window is None else self.context_window


class Decision(msgspec.Struct, frozen=True):
    """Without `candidates` nothing was decided; `model` None: nobody was left. `rules` are names; `candidates` are the
    pool that was chosen from, at the end of the chain of fallbacks. Records of chats and older ones have no `task`;
    `cut` and `absent` are as `routing.features` writes them."""

    model: str | None = ""
    instance_id: int = 0
    rules: list[str] = []
    candidates: list[RecordedCandidate] = []
    features: dict[str, Any] = {}
    task: Task | None = None
    cut: list[str] = []
    absent: list[str] = []
    passed_over: list[PassedOver] = []
    fallback: Fallback = Fallback()

    def removed(self) -> frozenset[int]:
        """Whom the decision had to leave out, but for those that are kept for other languages: that is the
        configuration's, not the moment's."""
        listed = [*self.candidates, *(each for step in self.passed_over for each in step.candidates)]
        return frozenset(each.id for each in listed if each.removed not in (None, "language"))


class Asked(msgspec.Struct, frozen=True):
    """Of an intent."""

    turn_id: str
    tenant_id: int
    at: float
    edge: str = ""
    model: str = AUTO
    decision: Decision = Decision()

    @property
    def task(self) -> Task:
        return self.decision.task or ("embeddings" if self.edge == "embeddings" else "chat")


class Answered(msgspec.Struct, frozen=True):
    """Of a completion's own decision, which it has after retries."""

    instance_id: int = 0


class Ended(msgspec.Struct, frozen=True):
    """Of a completion."""

    state: str
    model: str = ""
    usage: Usage = Usage()
    source: Source = "model"
    decision: Answered = Answered()
    ttft: float | None = None
    duration: float = 0.0


class RecordedFeatures(dict[str, Any]):
    """What was absent is None, for conditions to read. Raises NotRecorded where the record cannot know: it is an older
    one, or had no room or no use for all metadata and headers."""

    __slots__ = ("_absent", "_complete", "_cut")

    def __init__(self, asked: Asked) -> None:
        features = asked.decision.features
        super().__init__(features)
        self._complete = ALWAYS <= features.keys()
        self._absent, self._cut = asked.decision.absent, asked.decision.cut
        self.setdefault("model", asked.model or AUTO)
        self.setdefault("hour", int(asked.at) // 3600 % 24)

    def __missing__(self, name: str) -> Any:
        if name not in self._absent and (not self._complete or may_be_left_out(name, self._cut)):
            raise NotRecorded(name)
        return None
