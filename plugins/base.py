"""What a plugin is made of: hooks, typed settings, and what the hooks are given."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, ClassVar, Final, TypeVar

import msgspec
import orjson

from engine.ports import Session
from engine.types import ChatRequest, Choice, Delta, Json, Message, Principal
from plugins.outbox.sinks import SinkSpec

T = TypeVar("T")

MOST_ROUNDS: Final = 4  # further rounds with the model in one turn, of all its plugins together
MOST_METADATA: Final = 64 * 1024  # bytes as JSON, of one plugin in one turn


class PluginSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of a plugin's settings: each field a setting, its type what is accepted, its default what holds unset."""


class TurnContext:
    """What a hook before the model sees of a turn, and may change.

    `messages` are the new ones of this turn: put others in their place, add or remove some. `features` are facts about
    the turn that routing rules can test (`intent`, `language`). `state` is the plugin's own, kept for its hooks after
    the model. `metadata` is a JSON object that the client is given with the answer, under the plugin's name, and the
    journal keeps; at most 64 KiB. Everything else is for reading; `history` is what was said before in the session. A
    hook works on a copy: what one that fails or is too slow changed is forgotten."""

    __slots__ = (
        "answered",
        "features",
        "history",
        "left",
        "messages",
        "metadata",
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
        self.history: Sequence[Message] = tuple(session.history) if session is not None else ()
        self.turn_id = turn_id
        self.messages = lent(messages, list[Message])
        self.features = lent(features, Json)
        self.state: Json = {}
        self.metadata: Json = {}
        self.answered: Message | None = None
        self.left = False

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

    def leave(self) -> None:
        """The plugin has nothing more to do in this turn: none of its hooks after the model is called, and for its sake
        the answer need not wait until it is whole."""
        self.left = True


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a plugin asks the model in a further round. None: as the turn's own request says."""

    messages: list[Message]
    tools: list[Json] | None = None
    max_tokens: int | None = None


class TurnResponse:
    """The whole answer, for a hook after the model to read and change. `choices` may be replaced, one by one or all;
    `context` is what the same plugin's hook before the model left, `metadata` is `context.metadata`. `round` is 0 for
    the turn's own answer and counts the rounds that the plugin asked for since; `rounds_left` is how many more the turn
    has. Where `sent` is true (of a plugin that does not need the whole answer) the client has the answer already:
    what is changed of it counts for nothing, and there is no further round."""

    __slots__ = ("asked", "choices", "context", "round", "rounds_left", "sent")

    def __init__(
        self,
        choices: list[Choice],
        context: TurnContext,
        *,
        round: int = 0,  # noqa: A002 - it is what the word means here
        rounds_left: int = MOST_ROUNDS,
        sent: bool = False,
    ) -> None:
        self.choices = lent(choices, list[Choice])
        self.context = context
        self.round = round
        self.rounds_left = rounds_left
        self.sent = sent
        self.asked: Asked | None = None

    def ask(
        self, messages: Sequence[Message | str], *, tools: list[Json] | None = None, max_tokens: int | None = None
    ) -> None:
        """Asks the model again once the hook has returned: with the conversation so far, the answer as the hook was
        given it, and these messages (a text is a user's). The hook is then called again with the new answer. What it
        left of this answer stands if the round fails, is refused, or was one too many (`rounds_left`).

        A round is routed, limited, guarded, retried and journalled as a turn of its own. `tools` None: the model is
        offered none, whatever the turn's request offers. Raises RuntimeError: the answer was sent."""
        if self.sent:
            raise RuntimeError("an answer that was sent cannot be asked about")
        asked = [Message(role="user", content=each) if isinstance(each, str) else each for each in messages]
        self.asked = Asked(messages=asked, tools=tools, max_tokens=max_tokens)

    @property
    def metadata(self) -> Json:
        return self.context.metadata

    @metadata.setter
    def metadata(self, metadata: Json) -> None:
        self.context.metadata = metadata

    @property
    def text(self) -> str:
        """The text of the first choice. A text that is set takes the old one's log probabilities away."""
        return _text(self.choices[0].message)

    @text.setter
    def text(self, text: str) -> None:
        first = self.choices[0]
        message = msgspec.structs.replace(first.message, content=text)
        self.choices[0] = msgspec.structs.replace(first, message=message, logprobs=None)


class TurnDelta:
    """A piece of the answer on its way to the client, for a plugin that does not need the whole of it. `content`,
    `reasoning` and `refusal` may be changed or set to None, `tool_calls` (fragments as the OpenAI format streams them)
    too; a piece with nothing in it is not sent. `index` is its choice.

    After the last piece of each choice comes one with `last` and nothing in it: what a plugin held back is put there.
    `context` is what the same plugin's hook before the model left; what belongs to the turn goes into `context.state`.
    """

    __slots__ = ("_touched", "_tool_calls", "content", "context", "index", "last", "reasoning", "refusal")

    def __init__(self, delta: Delta, context: TurnContext, *, last: bool = False) -> None:
        self.content = delta.content
        self.reasoning = delta.reasoning
        self.refusal = delta.refusal
        self.index = delta.index
        self.last = last
        self.context = context
        self._tool_calls = delta.tool_calls
        self._touched = False

    @property
    def tool_calls(self) -> list[Json] | None:
        """A copy: other turns may read the same call of the model."""
        if not self._touched and self._tool_calls is not None:
            self._tool_calls = copied(self._tool_calls, list[Json])
            self._touched = True
        return self._tool_calls

    @tool_calls.setter
    def tool_calls(self, fragments: list[Json] | None) -> None:
        self._tool_calls = fragments
        self._touched = True

    def _left_tool_calls(self) -> list[Json] | None:
        """For the chain: as the hook left them. Raises what `copied` raises."""
        calls = self._tool_calls
        return copied(calls, list[Json]) if self._touched and calls is not None else calls

    def drop(self) -> None:
        """Nothing of this piece is sent."""
        self.content = self.reasoning = self.refusal = self.tool_calls = None


class PluginBase:
    """A plugin. Override any of the hooks, each as `def` or as `async def`.

    Before the model, `pre_process` runs plugin after plugin in the tenant's order; after it, `post_process` (over the
    whole answer) and `process_delta` (over its pieces) run in reverse, for exactly those whose `pre_process` ran to its
    end (one that does not override it counts as having). The sensitive-word lists are applied to what hooks add or
    change, before and after the model.

    A `def` hook runs in a thread of its own and may block, but for `process_delta`; an `async def` hook runs on the
    event loop and must not. A hook that raises, or takes longer than `timeout` seconds, is skipped, counted and shown,
    and the turn goes on, unless the tenant marked the plugin as required: then the turn fails. After five such hooks
    in a row the plugin is left alone for 30 seconds.

    One instance serves all turns of a tenant at the same time, so what belongs to a turn goes into `context.state`.

    `needs_full_response`: a streaming client of its tenant gets the answer in one piece. None (the default): if, and
    only if, `post_process` is overridden. A plugin that overrides it and says False sees the answer when it was sent.
    `pure`: `pre_process` has no effect outside the turn, so that it may also run where a turn is only explained."""

    name: ClassVar[str] = ""
    label: ClassVar[str] = ""
    timeout: ClassVar[float] = 1.0
    needs_full_response: bool | None = None
    pure: ClassVar[bool] = False
    Settings: ClassVar[type[PluginSettings]] = PluginSettings

    def __init__(self, settings: Any) -> None:
        """`settings` is an instance of the class's `Settings`."""
        self.settings = settings

    def open(self) -> None:
        """Before the first turn, in a thread: may block, for five seconds. A plugin whose `open` raises counts as not
        installed, until it can be opened when the tenant's or another's plugins are changed."""

    async def close(self) -> None:
        """When other settings have taken its place, or it was switched off, and no turn uses it any more; also when the
        process ends. On the event loop."""

    def pre_process(self, context: TurnContext) -> Awaitable[None] | None:
        """May change `context.messages`, set `context.features` and `context.metadata`, call `context.answer` or
        `context.leave`."""

    def process_delta(self, delta: TurnDelta) -> Awaitable[None] | None:
        """May change or drop a piece of the answer. Called for every piece, so it must be fast: a `def` one runs on the
        event loop itself. One that fails, or takes more than `timeout` in all of a turn, sees no more of it."""

    def post_process(self, response: TurnResponse) -> Awaitable[None] | None:
        """May change the answer, set `response.metadata`, or call `response.ask`."""

    def sinks(self) -> Sequence[SinkSpec]:
        """What takes the tenant's events, off the request path (`docs/queues.md`)."""
        return ()


PluginInterface = PluginBase


def lent(value: object, kind: type[T]) -> T:
    """A deep copy of what is certain to be of the kind, to be changed by a hook. Texts are not copied."""
    return msgspec.convert(msgspec.to_builtins(value), kind)


def copied(value: object, kind: type[T]) -> T:
    """A deep copy, certain to be of the kind and to be what every protocol can say. Raises TypeError, RecursionError or
    msgspec.ValidationError if the value is not."""
    return msgspec.json.decode(orjson.dumps(msgspec.to_builtins(value)), type=kind)


def _text(message: Message) -> str:
    if isinstance(message.content, list):
        return "".join(part["text"] for part in message.content if isinstance(part.get("text"), str))
    return message.content or ""
