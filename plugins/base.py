"""What a plugin is made of: two hooks, typed settings, and what the hooks are given."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, ClassVar, TypeVar

import msgspec

from engine.ports import Session
from engine.types import ChatRequest, Choice, Json, Message, Principal
from plugins.outbox.sinks import SinkSpec

T = TypeVar("T")


class PluginSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of a plugin's settings: each field a setting, its type what is accepted, its default what holds unset."""


class TurnContext:
    """What a hook before the model sees of a turn, and may change.

    `messages` are the new ones of this turn: put others in their place, add or remove some. `features` are facts about
    the turn that routing rules can test (`intent`, `language`). `state` is the plugin's own, kept for its hook after
    the model. Everything else is for reading; `history` is what was said before in the session. A hook works on a copy:
    what one that fails or is too slow changed is forgotten."""

    __slots__ = (
        "answered",
        "features",
        "history",
        "messages",
        "principal",
        "request",
        "session_id",
        "state",
        "turn_id",
    )

    def __init__(
        self,
        *,
        principal: Principal,
        request: ChatRequest,
        session: Session | None,
        messages: Sequence[Message],
        features: Json,
        turn_id: str,
    ) -> None:
        self.principal = principal
        self.request = request
        self.session_id = session.id if session is not None else None
        self.history: Sequence[Message] = session.history if session is not None else ()
        self.turn_id = turn_id
        self.messages = copied(messages, list[Message])
        self.features = copied(features, Json)
        self.state: Json = {}
        self.answered: Message | None = None

    @property
    def tenant(self) -> str:
        """The slug of the tenant."""
        return self.principal.tenant

    @property
    def user(self) -> str:
        return self.principal.user

    @property
    def text(self) -> str:
        """The text of the last message of the user; empty if there is none."""
        for message in reversed(self.messages):
            if message.role == "user":
                return _text(message)
        return ""

    def answer(self, text: str | Message) -> None:
        """Ends the turn with this answer: neither the plugins after this one nor a model are asked."""
        self.answered = Message(role="assistant", content=text) if isinstance(text, str) else text


class TurnResponse:
    """The whole answer, for a hook after the model to read and change. `choices` may be replaced, one by one or all;
    `context` is what the same plugin's hook before the model left."""

    __slots__ = ("choices", "context")

    def __init__(self, choices: list[Choice], context: TurnContext) -> None:
        self.choices = copied(choices, list[Choice])
        self.context = context

    @property
    def text(self) -> str:
        """The text of the first choice. A text that is set takes the old one's log probabilities away."""
        return _text(self.choices[0].message)

    @text.setter
    def text(self, text: str) -> None:
        first = self.choices[0]
        message = msgspec.structs.replace(first.message, content=text)
        self.choices[0] = msgspec.structs.replace(first, message=message, logprobs=None)


class PluginBase:
    """A plugin. Override one hook or both, each as `def` or as `async def`.

    Before the model, `pre_process` runs plugin after plugin in the tenant's order; after it, `post_process` runs in
    reverse, for exactly those whose `pre_process` ran to its end (one that does not override it counts as having).
    A plugin that overrides `post_process` needs the whole answer: a streaming client of its tenant gets the answer in
    one piece. The sensitive-word lists are applied to what hooks add or change, before and after the model.

    A `def` hook runs in a thread of its own and may block; an `async def` hook runs on the event loop and must not. A
    hook that raises, or takes longer than `timeout` seconds, is skipped, counted and logged, and the turn goes on.

    One instance serves all turns of a tenant at the same time, so what belongs to a turn goes into `context.state`."""

    name: ClassVar[str] = ""
    label: ClassVar[str] = ""
    timeout: ClassVar[float] = 1.0
    Settings: ClassVar[type[PluginSettings]] = PluginSettings

    def __init__(self, settings: Any) -> None:
        """`settings` is an instance of the class's `Settings`."""
        self.settings = settings

    def pre_process(self, context: TurnContext) -> Awaitable[None] | None:
        """May change `context.messages`, set `context.features`, or call `context.answer`."""

    def post_process(self, response: TurnResponse) -> Awaitable[None] | None:
        """May change the answer."""

    def sinks(self) -> Sequence[SinkSpec]:
        """What takes the tenant's events, off the request path (`docs/queues.md`)."""
        return ()


PluginInterface = PluginBase


def copied(value: object, kind: type[T]) -> T:
    """A deep copy, certain to be of the kind. Raises TypeError or msgspec.ValidationError if the value is not."""
    return msgspec.convert(msgspec.to_builtins(value), kind)


def _text(message: Message) -> str:
    if isinstance(message.content, list):
        return "".join(part["text"] for part in message.content if isinstance(part.get("text"), str))
    return message.content or ""
