"""What a turn is told in: `start`, any number of `delta`, `done`; or the whole answer at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from clawdbot_client.errors import told

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Start:
    """`source` is another where no model was asked; `replayed`: the answer that was given before."""

    id: str
    session_id: str | None
    model: str
    source: str = "model"
    replayed: bool = False
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of choice `index`. `tool_calls` are OpenAI's stream fragments."""

    content: str | None = None
    reasoning: str | None = None
    tool_calls: list[Json] = field(default_factory=list)
    refusal: str | None = None
    index: int = 0
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """`message`, `usage` and `route` as `/api/chat` answers them; `metadata` is what plugins have to say, by name."""

    id: str
    message: Json
    usage: Json
    finish_reason: str
    route: Json
    choices: list[Json] = field(default_factory=list)
    event_id: str | None = None
    metadata: Json = field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.message.get("content") or ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    id: str
    session_id: str | None
    model: str
    message: Json
    usage: Json
    finish_reason: str
    route: Json
    choices: list[Json] = field(default_factory=list)
    metadata: Json = field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.message.get("content") or ""


Event = Start | Delta | Done


def answer(body: Mapping[str, Any]) -> Answer:
    return Answer(**_known(Answer, body))


def event(kind: str, body: Mapping[str, Any], event_id: str | None) -> Event | None:
    """None: an event that this version does not know. Raises ClawdbotError: it is an `error`."""
    if kind == "error":
        raise told(body)
    made = _KINDS.get(kind)
    return cast(Event, made(**{**_known(made, body), "event_id": event_id})) if made is not None else None


_KINDS: dict[str, type[Any]] = {"start": Start, "delta": Delta, "done": Done}


def _known(kind: type[Any], body: Mapping[str, Any]) -> Json:
    return {name: body[name] for name in kind.__dataclass_fields__ if name in body}
