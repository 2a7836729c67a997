"""The vocabulary of a chat turn. Frozen msgspec structs: they cross every boundary, ORM objects do not.

Shapes follow the OpenAI chat format, since every edge and most adapters speak something close to it. Times are Unix
seconds, durations seconds, prices money per million tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import msgspec

AUTO: Final = "auto"

Json = dict[str, Any]
Content = str | list[Json] | None
SessionName = tuple[int, str]  # a tenant, and the id of one of its sessions
RawHeaders = Sequence[tuple[bytes, bytes]]
Task = Literal["chat", "embeddings"]
Source = Literal["model", "cache", "shared", "plugin"]  # where an answer came from; shared: another turn's call


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who is calling. `user` is the audit's: a member's id, `visitor:` and a visitor's, or what an API key's caller
    says, namespaced by the key. `address` is where a visitor calls from, for limits; empty: nobody can say."""

    tenant_id: int
    tenant: str
    kind: Literal["key", "member", "visitor", "system"]
    subject: str
    user: str
    role: str = "member"
    scopes: frozenset[str] = frozenset()
    key_id: int | None = None
    member_id: int | None = None
    address: str = ""

    @property
    def nameless(self) -> bool:
        """An API key whose caller names no user: it reaches what all users have that it ever named."""
        return self.kind == "key" and self.user == self.subject


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message. `content` is text, a list of parts (`{"type": "text" | "image_url" | …}`) or nothing. `passing`: it
    is for this turn alone, no session keeps it. `extra_content` is no text: see `adapters.layouts` and
    `adapters.thoughts`, and `is_error` of a tool's result."""

    role: str
    content: Content = None
    name: str | None = None
    tool_calls: list[Json] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    passing: bool = False
    extra_content: Json | None = None


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One turn as every edge hands it to the engine.

    `messages` are the new ones when the turn is remembered, else all. `params` are the other sampling parameters of the
    OpenAI format, already reduced to known names: nothing else of a body reaches an adapter. `remember` opens a session
    (a new one without `session_id`); `create_session` lets an unknown `session_id` start one instead of 404. `follows`
    names a turn of the session, after which this one comes: where others followed it already, in a branch of the
    session. `echo` is what no model is told and the caller is to be told again with the recorded turn.
    `instance_id` asks for that very model instance and no other; only consoles set it. `headers` are those of the
    HTTP request or handshake, names in lower case, for routing rules to read. `cache` is what the caller's
    Cache-Control says: `no-store` neither reads nor keeps an answer, `no-cache` does not read one. With the task
    `embeddings` the `messages` are the inputs, each a user's text. `idempotency` is the caller's own key for this
    request: sent again with it, the same answer comes back and no model is called. `resumable`: the journal notes how
    the answer was cut into deltas, so that it can be streamed again. `stream_interval`: milliseconds between two pieces
    of a stream, 0: as they come, unset: as the tenant wants it.
    """

    messages: list[Message]
    task: Task = "chat"
    model: str = AUTO
    temperature: float | None = None
    max_tokens: int | None = None
    stream: bool = False
    tools: list[Json] | None = None
    params: Json = {}
    metadata: Json = {}
    session_id: str | None = None
    remember: bool = False
    create_session: bool = False
    follows: str | None = None
    echo: Json = {}
    user: str | None = None
    user_profile: Json | None = None
    language: str | None = None
    idempotency: str = ""
    resumable: bool = False
    stream_interval: int | msgspec.UnsetType = msgspec.UNSET
    instance_id: int | None = None
    headers: RawHeaders = ()
    cache: Literal["", "no-cache", "no-store"] = ""
    edge: str = "rest"
    request_id: str = ""


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens of one model call, as the model's service counts them; `estimated` when it did not say. Of the prompt's,
    `cached_tokens` were read from the service's cache, `written_tokens` written to it. An adapter's with `estimated`
    and no prompt: that part alone was not counted."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False
    written_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            estimated=self.estimated or other.estimated,
            written_tokens=self.written_tokens + other.written_tokens,
        )


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One model instance, without its secret. `name` is public and may hold a wildcard (`openai/*`).

    `tenant_id` None: shared by the platform. `upstream_model` is what goes upstream; empty: the requested name.
    `timeout` bounds whatever has no limit of its own: `connect_timeout` (name, TCP, TLS; at most 10 s by default),
    `first_token_timeout`, `idle_timeout` (silence between two tokens) and `total_timeout` (the whole answer; without it
    `timeout` bounds plain answers and nothing bounds a stream). `probe_interval`: seconds between probes, None: none.
    Up to `batch_size` inputs that arrive within `batch_window` seconds go upstream in one call, where the adapter can.
    """

    id: int
    name: str
    tenant_id: int | None = None
    task: Task = "chat"
    adapter: str = "openai_compatible"
    endpoint: str = ""
    upstream_model: str = ""
    version: str = ""
    weight: int = 1
    context_window: int | None = None
    max_concurrency: int | None = None
    languages: tuple[str, ...] = ()
    price_in: float = 0.0
    price_out: float = 0.0
    timeout: float = 30.0
    connect_timeout: float | None = None
    first_token_timeout: float | None = None
    idle_timeout: float | None = None
    total_timeout: float | None = None
    probe_interval: float | None = None
    batch_window: float = 0.0
    batch_size: int = 1
    allow_private: bool = False


class Answerer(msgspec.Struct, frozen=True):
    """Who answered a turn, as its session notes it. `model` is the public name."""

    model: str
    instance_id: int
    version: str = ""


class Constraints(msgspec.Struct):
    """What a turn demands of the instance that is to answer it, beside its request.

    `tried` are instances that were called and failed, `outgrown` those whose window proved too small. `needed()` is
    the part of the conversation in tokens that cannot be trimmed away; None: all of it. `answerer` is who answered the
    session's last turn, and should again while all is well. `affords` says for which instances a budget has room,
    where it had none for the first choice; who asked for a model may then be answered by another."""

    tried: list[int] = []
    outgrown: list[int] = []
    affords: Callable[[Instance], bool] | None = None
    needed: Callable[[], int] | None = None
    answerer: Answerer | None = None


class ModelCall(msgspec.Struct, frozen=True):
    """What an adapter is given: the final upstream request. `messages` are trimmed and filtered, `model` is the name
    the model's service knows; sampling parameters are read from `request`. `shown_as`: the model's public name, where
    nothing between adapter and edge is going to change the answer or look at it; then its bytes may go through as they
    came."""

    model: str
    messages: list[Message]
    request: ChatRequest
    shown_as: str = ""


class EmbedCall(msgspec.Struct, frozen=True):
    """The final upstream request for embeddings. `dimensions` None: as many as the model has."""

    model: str
    inputs: list[str]
    dimensions: int | None = None


class Embedded(msgspec.Struct, frozen=True):
    """What an adapter makes of an EmbedCall: one vector an input, in their order."""

    vectors: list[list[float]]
    usage: Usage | None = None


# What an adapter yields -------------------------------------------------------------------------------------------


class Delta(msgspec.Struct, frozen=True, omit_defaults=True):
    """A piece of choice `index`. `tool_calls` are stream fragments (`index id type function{name arguments}`).
    `extra_content` holds lists, by their names: `thoughts` are what vouches for reasoning (see `adapters.thoughts`)."""

    content: str | None = None
    reasoning: str | None = None
    tool_calls: list[Json] | None = None
    index: int = 0
    refusal: str | None = None
    logprobs: Json | None = None
    extra_content: Json | None = None


class Burst(msgspec.Struct, frozen=True):
    """Two or more deltas that arrived together, in their order; or the `last` one, which only the End follows; or one
    and more with their bytes. `verbatim` says the same in the caller's own format, as it came: an event's members, with
    the commas between them, but for those that are the gateway's. Whoever makes other deltas of these drops it."""

    deltas: list[Delta]
    last: bool = False
    verbatim: list[bytes] | None = None


class End(msgspec.Struct, frozen=True):
    """The last an adapter yields: a finish reason a choice (`stop length tool_calls content_filter`), the usage.
    `stop_sequence`: the one of the request's that ended the answer, where the service says so, `model` the one that
    answered. `verbatim`: as in a Burst, of all that followed the last of them and ends every choice; or of a whole
    answer."""

    finish_reasons: dict[int, str]
    usage: Usage | None = None
    upstream_id: str | None = None
    system_fingerprint: str | None = None
    stop_sequence: str | None = None
    model: str | None = None
    verbatim: list[bytes] | None = None


# What the engine yields -------------------------------------------------------------------------------------------


class Window(msgspec.Struct, frozen=True):
    """One limit a minute as it stands: `remaining` of `limit` are left, and in `reset` seconds there is more again."""

    limit: int
    remaining: int
    reset: float


class RateLimits(msgspec.Struct, frozen=True):
    """The tightest of the limits a minute that a turn counted against; None: there is none of the kind."""

    requests: Window | None = None
    tokens: Window | None = None


class Start(msgspec.Struct, frozen=True):
    """The intent is durable and the model has begun. `model` is the public name, valid as a request. `replayed`: this
    is the answer that was given to the request when it first came. `limits` None: none applied."""

    id: str
    session_id: str | None
    model: str
    source: Source = "model"
    replayed: bool = False
    limits: RateLimits | None = None


class Choice(msgspec.Struct, frozen=True):
    message: Message
    finish_reason: str
    index: int = 0
    logprobs: Json | None = None


class Done(msgspec.Struct, frozen=True):
    """The terminal event: everything the client was sent, folded. Its completion entry is durable.

    `route` is `{"instance", "rules", "decision"}`; `decision` is the turn's id. `ended`: when the answer was complete.
    `usage` is that of all rounds with the model, `metadata` what plugins have to say, by their names. `verbatim`: the
    End's, where the answer ended with it.
    """

    id: str
    session_id: str | None
    model: str
    choices: list[Choice]
    usage: Usage
    route: Json
    created: int
    system_fingerprint: str | None = None
    ended: float = 0.0
    stop_sequence: str | None = None
    metadata: Json = {}
    verbatim: list[bytes] | None = None

    @property
    def message(self) -> Message:
        return self.choices[0].message

    @property
    def finish_reason(self) -> str:
        return self.choices[0].finish_reason


Event = Start | Delta | Done


class Embeddings(msgspec.Struct, frozen=True):
    """The answer to a request with the task `embeddings`: one vector an input. Its completion entry is durable."""

    id: str
    model: str
    vectors: list[list[float]]
    usage: Usage
    route: Json
    replayed: bool = False
    limits: RateLimits | None = None


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """What a plugin asks the model once more in its turn: after the turn's own messages come those that were `said` in
    earlier rounds and the answer, then what is `added` now. `tools` and `max_tokens` None: none, and as the turn asked.
    """

    plugin: str
    said: list[Message]
    added: list[Message]
    tools: list[Json] | None = None
    max_tokens: int | None = None


class RoundAnswer(msgspec.Struct, frozen=True):
    """`added` as the guard let it pass; `turn_id` is the one the round is journalled under."""

    choices: list[Choice]
    added: list[Message]
    turn_id: str


class StoredAnswer(msgspec.Struct, frozen=True):
    """A model's whole answer as it came, before any guard, to be replayed."""

    choices: list[Choice]
    end: End


class CachePolicy(msgspec.Struct, frozen=True):
    """What a tenant wants of repeated requests: answers kept for `ttl` seconds (0: none); `coalesce`: identical ones at
    the same time share one call; both also for what is `sampled` (temperature above 0 or not given)."""

    ttl: int = 0
    sampled: bool = False
    coalesce: bool = False


# What the guard says ----------------------------------------------------------------------------------------------


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """One hit of a sensitive-word list. `where` is `input` or `output`; `action` is `block`, `mask` or `record`;
    `scope` is whose the list is, `list_id` its row (0 in older records)."""

    list: str
    version: int
    word: str
    action: str
    where: str
    list_id: int = 0
    scope: Literal["tenant", "platform"] = "tenant"
