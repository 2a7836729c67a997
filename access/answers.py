"""What the API answers, as structs to describe it by: a test holds real answers to them."""

from __future__ import annotations

from typing import Literal

import msgspec

from access.management.audit import EntryLine
from engine.entries import Completion, Intent, Retry
from engine.types import Choice, Json, Message


class UsageAnswer(msgspec.Struct, kw_only=True):
    """Tokens of the turn. `estimated` where the model's service did not count them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: Json = {}
    completion_tokens_details: Json = {}
    estimated: bool = False


class RouteAnswer(msgspec.Struct, kw_only=True):
    """Which instance answered, and by which rules. `decision` is the turn's id. `source` only where no model was asked:
    `cache`, `shared` (another turn's call) or `plugin`."""

    instance: str
    rules: list[str]
    decision: str
    source: str = "model"


class ChatAnswer(msgspec.Struct, kw_only=True):
    """A whole answer. `choices` only where several were asked for, `metadata` only where plugins have something to say:
    an object by their names."""

    id: str
    session_id: str | None
    model: str
    message: Message
    usage: UsageAnswer
    finish_reason: str
    route: RouteAnswer
    choices: list[Json] = []
    metadata: Json = {}


class ModelChangeAnswer(msgspec.Struct, rename={"origin": "from"}):
    """From the turn `turn_id` on another model answered. `at` is in Unix seconds."""

    at: int
    origin: str
    to: str
    turn_id: str


class SessionMetadata(msgspec.Struct):
    """`last_active` is in Unix seconds. Only where there are any: `model_changes`, the last 20; how many `snapshots`;
    the ids of the summaries (`layers`)."""

    last_active: int
    model_version: str
    model_changes: list[ModelChangeAnswer] = []
    snapshots: int = 0
    layers: list[str] = []


class SessionLine(msgspec.Struct, kw_only=True):
    """`name` once it has one."""

    session_id: str
    user_profile: Json
    metadata: SessionMetadata
    version: int
    state: str
    name: str = ""


class SessionPage(msgspec.Struct):
    """`next_cursor` is the `cursor` of the following page; null: this was the last."""

    sessions: list[SessionLine]
    next_cursor: str | None = None


class SessionAnswer(SessionLine, kw_only=True):
    """A session and what was said in it. `pinned` are places `[turn, message]`, once there are any; `state` is `past`
    of a version that is not the one of now."""

    context_stack: list[Message]
    pinned: list[tuple[int, int]] = []


class LayerAnswer(msgspec.Struct, kw_only=True):
    """A summary that stands for the first `through` turns of a session where it is `in_force`. `at` is in Unix seconds,
    `turn_id` the turn that wrote it."""

    id: str
    at: float
    through: int
    summary: str
    model: str
    turn_id: str
    in_force: bool
    undone: bool


class LayerPage(msgspec.Struct, kw_only=True):
    """A session's summaries, the oldest first. `automatic`: it is summed up by itself as it grows."""

    layers: list[LayerAnswer]
    automatic: bool


class WindowMessage(msgspec.Struct, kw_only=True):
    """A message of the session by its place. `left_out` says why it is not sent."""

    turn: int
    message: int
    role: str
    sent: bool
    pinned: bool = False
    left_out: Literal["summary", "no_room", "unanswered"] | msgspec.UnsetType = msgspec.UNSET


class WindowAnswer(msgspec.Struct, kw_only=True):
    """What of a session a model would be sent now. `tokens` of it were counted with the `tokenizer`, by its own
    vocabulary where `exact`; null where the `context_window` is not known. `layer` is the summary in force."""

    model: str
    instance: str
    context_window: int | None
    tokenizer: str
    exact: bool
    tokens: int | None
    layer: str | None
    messages: list[WindowMessage]


class TurnAnswer(msgspec.Struct, kw_only=True):
    """`state` is the completion's, or `in_flight`. `decision` is the last one, after `retries`. `partial` is what a
    stream had been sent when last recorded, where no completion has the whole of it. `erased`: its user was erased, and
    nobody can read its texts any more; `unreadable`: it was altered, or the tenant's key cannot be opened."""

    id: str
    state: str
    erased: bool
    unreadable: bool
    decision: Json
    retries: list[Retry]
    intent: Intent
    completion: Completion | None = None
    partial: list[Choice]


class AuditTurnAnswer(TurnAnswer, kw_only=True):
    """A turn, and the entries it was read from."""

    entries: list[EntryLine]


class CancelAnswer(msgspec.Struct):
    id: str
    state: str


class Refusal(msgspec.Struct):
    code: str
    message: str


class FoundLanguage(msgspec.Struct):
    """`source`: `body`, `header`, `text`, `session` or `default`. `confidence` is 0 to 1."""

    tag: str
    source: str
    confidence: float


class DecisionAnswer(msgspec.Struct, kw_only=True):
    """Where a request would go and why. `model` null: nowhere now, it would be refused with this `refusal`. Only where
    they have something to say: `language`, how a plugin found it; `passed_over`, the pools that were asked before;
    `fallback`, how it came to the last one; `session`, who answered its last turn; `cut` and `absent`, what the
    features do not say; in the records of turns `found`, what plugins found out, and `waited`, the seconds the turn
    waited for places."""

    model: str | None
    instance: str | None
    rules: list[str]
    candidates: list[Json]
    features: Json
    runner_up: str | None = None
    refusal: Refusal | None = None
    instance_id: int | msgspec.UnsetType = msgspec.UNSET
    task: str | msgspec.UnsetType = msgspec.UNSET
    language: FoundLanguage | msgspec.UnsetType = msgspec.UNSET
    found: Json | msgspec.UnsetType = msgspec.UNSET
    passed_over: list[Json] | msgspec.UnsetType = msgspec.UNSET
    fallback: Json | msgspec.UnsetType = msgspec.UNSET
    session: Json | msgspec.UnsetType = msgspec.UNSET
    waited: float | msgspec.UnsetType = msgspec.UNSET
    cut: list[str] | msgspec.UnsetType = msgspec.UNSET
    absent: list[str] | msgspec.UnsetType = msgspec.UNSET


class ScoreAnswer(msgspec.Struct):
    complexity_score: float


class TicketAnswer(msgspec.Struct):
    """`expires_in` is in seconds; a ticket works once, as `/ws/chat?ticket=…`."""

    ticket: str
    expires_in: int


class EmbeddingAnswer(msgspec.Struct):
    """A vector: numbers, or with `encoding_format: base64` a text."""

    object: str
    index: int
    embedding: list[float] | str


class EmbeddingUsage(msgspec.Struct):
    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(msgspec.Struct):
    """One vector an input, in their order."""

    object: str
    data: list[EmbeddingAnswer]
    model: str
    usage: EmbeddingUsage


class PublicModelAnswer(msgspec.Struct):
    id: str
    object: str
    created: int
    owned_by: str


class ModelListAnswer(msgspec.Struct):
    object: str
    data: list[PublicModelAnswer]


class ErrorInside(msgspec.Struct):
    """`code` is stable; `retryable`: the same request may succeed later; `param` names the field at fault;
    `running`: the turn that answers a request which was sent again."""

    code: str
    message: str
    request_id: str
    retryable: bool
    param: str | None = None
    running: str | None = None


class ErrorAnswer(msgspec.Struct):
    error: ErrorInside


class OpenAIErrorInside(msgspec.Struct, kw_only=True):
    """As OpenAI's clients know it, and `retryable`: whether it helps to ask again."""

    message: str
    type: str
    param: str | None
    code: str | None
    retryable: bool


class OpenAIErrorAnswer(msgspec.Struct):
    """An error of the OpenAI formats."""

    error: OpenAIErrorInside


class AnthropicErrorInside(msgspec.Struct):
    """As Anthropic's clients know it, with our `code` and `retryable`, and `param` where a field is at fault."""

    type: str
    message: str
    code: str
    retryable: bool
    param: str | None = None


class AnthropicErrorAnswer(msgspec.Struct):
    """An error of the Anthropic format."""

    type: str
    error: AnthropicErrorInside
    request_id: str | None = None
