"""What the journal keeps of turns, of sessions and of changes of configuration. Times are Unix seconds."""

from __future__ import annotations

from typing import Literal

import msgspec

from engine.types import AUTO, Answerer, Choice, Delta, Json, Message, Source, Usage, Verdict


class SkippedHook(msgspec.Struct, frozen=True):
    """A plugin's hook that did not run to its end, and why (see `plugins.hooks`)."""

    plugin: str
    hook: str
    reason: str


State = Literal["completed", "refused", "failed", "cancelled", "aborted"]


class Intent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Written before the first byte of an answer leaves: who asked what, where it will go and why. `personal` is how
    many different values of which kind were masked before the model; the messages are as they were said. `parent` is
    the version of the session the turn goes on from (0: it starts it), `profile` the user profile it brought, `echo`
    the request's. `parent_turn` is the turn in which a plugin asked the model once more, of that further round."""

    turn_id: str
    tenant_id: int
    at: float
    edge: str
    request_id: str
    subject: str
    user: str
    key_id: int | None = None
    session_id: str | None = None
    model: str = AUTO
    instance: str = ""
    rules: list[str] = []
    decision: Json = {}
    messages: list[Message] = []
    params: Json = {}
    verdicts: list[Verdict] = []
    personal: dict[str, int] = {}
    parent: int = 0
    profile: Json | None = None
    echo: Json = {}
    parent_turn: str = ""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A caller's idempotency key, which is held by the turn whose intent it is written with. `digest` stands for the
    tenant, the caller and the key, `fingerprint` for the request; neither can be read back. `after` is the turn that
    held the key before and gives it up, for it left no answer or is forgotten; empty: there was none."""

    digest: str
    fingerprint: str
    after: str = ""


class Partial(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a running stream has been sent since its last such entry, numbered from 1: a delta a choice. All deltas of a
    turn fold to what the client had when its turn was cut off."""

    turn_id: str
    tenant_id: int
    at: float
    number: int
    user: str
    session_id: str | None = None
    deltas: list[Delta] = []


class Retry(msgspec.Struct, frozen=True):
    """A call that failed before its first token, so that another instance was asked. `error` is its code."""

    instance_id: int
    instance: str
    error: str
    seconds: float


class Completion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Written before the terminal event leaves: what came of the intent. `choices` is what the client was sent.
    After `retries`, and where another turn's call was shared, `decision` is the last one; the intent has the first.
    `answerer` is there if the turn is part of a session and a model answered, `cuts` (see `engine.cuts`) if the answer
    was a stream that can be resumed. `vectors` are those of embeddings that were asked for with an idempotency key,
    eight bytes a number (little-endian). `key_id`, `member_id` and `edge` are the intent's caller. `cost` is in
    millionths (see `engine.pricing`), at the price the instance `instance_id` had when it was chosen; what a kept
    answer or another turn's call answered costs nothing. `parent_turn` is the intent's. `rounds` is what the further
    rounds that plugins asked for used, which have entries of their own; `skipped` are hooks of plugins that did not run
    to their end, `plugins` is the metadata that the client was given, by plugin."""

    turn_id: str
    tenant_id: int
    at: float
    state: State
    error: str = ""
    session_id: str | None = None
    model: str = ""
    instance: str = ""
    choices: list[Choice] = []
    usage: Usage = Usage()
    attempts: int = 1
    source: Source = "model"
    retries: list[Retry] = []
    decision: Json = {}
    ttft: float | None = None
    duration: float = 0.0
    verdicts: list[Verdict] = []
    answerer: Answerer | None = None
    system_fingerprint: str | None = None
    vectors: list[bytes] = []
    cuts: list[int | str | Json] = []
    key_id: int | None = None
    member_id: int | None = None
    edge: str = ""
    instance_id: int = 0
    cost: int = 0
    parent_turn: str = ""
    rounds: Usage = Usage()
    skipped: list[SkippedHook] = []
    plugins: Json = {}


SessionAction = Literal[
    "patched", "deleted", "expired", "snapshot", "tagged", "restored", "branched", "summarised", "unsummarised",
    "withdrawn",
]  # fmt: skip


class SessionEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was done to a session besides a turn. `turn_id` is its own id, `parent` the session's version before it.
    `detail` holds what a later reader needs to do it again (see `sessions_app.replaying`)."""

    turn_id: str
    tenant_id: int
    at: float
    session_id: str
    action: SessionAction
    parent: int
    subject: str
    user: str
    key_id: int | None = None
    edge: str = ""
    request_id: str = ""
    detail: Json = {}


class PastTurn(msgspec.Struct, frozen=True, kw_only=True):
    """A completed turn of a session, as the journal has it. `at` is when it was complete, `said` what it added to the
    conversation: its new messages, but for those that only pass, and the answer."""

    turn_id: str
    at: float
    parent: int
    user: str
    said: list[Message]
    profile: Json | None = None
    answerer: Answerer | None = None


PastEvent = PastTurn | SessionEntry


class Change(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A change of configuration, or somebody who signed in: who did what to which row. `turn_id` is its own id.
    `before` and `after` have what differs; secrets are only named. `tenant_id` 0: the platform. `erased`: only what
    its entry's columns say can be read."""

    turn_id: str
    tenant_id: int
    at: float
    actor: str
    actor_label: str = ""
    request_id: str = ""
    action: str
    model: str
    row: str = ""
    label: str = ""
    before: Json = {}
    after: Json = {}
    erased: bool = False
