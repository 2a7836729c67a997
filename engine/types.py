"""The vocabulary of a chat turn. Frozen msgspec structs: they cross every boundary, ORM objects do not.

Shapes follow the OpenAI chat format, since every edge and most adapters speak something close to it. Times are Unix
seconds, durations seconds, prices money per million tokens.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

AUTO: Final = "auto"

Json = dict[str, Any]
Content = str | list[Json] | None


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who is calling. `user` is the audit's: a member's id, or what an API key's caller says, namespaced by the key."""

    tenant_id: int
    tenant: str
    kind: Literal["key", "member", "system"]
    subject: str
    user: str
    role: str = "member"
    scopes: frozenset[str] = frozenset()
    key_id: int | None = None
    member_id: int | None = None


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message. `content` is text, a list of parts (`{"type": "text" | "image_url" | …}`) or nothing."""

    role: str
    content: Content = None
    name: str | None = None
    tool_calls: list[Json] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One turn as every edge hands it to the engine.

    `messages` are the new ones when the turn is remembered, else all. `params` are the other sampling parameters of the
    OpenAI format, already reduced to known names: nothing else of a body reaches an adapter. `remember` opens a session
    (a new one without `session_id`); `create_session` lets an unknown `session_id` start one instead of 404.
    `instance_id` asks for that very model instance and no other; only consoles set it.
    """

    messages: list[Message]
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
    user: str | None = None
    user_profile: Json | None = None
    language: str | None = None
    instance_id: int | None = None
    edge: str = "rest"
    request_id: str = ""


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens of one model call, as the model's service counts them; `estimated` when it did not say."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One model instance, without its secret. `name` is public and may hold a wildcard (`openai/*`).

    `tenant_id` None: shared by the platform. `upstream_model` is what goes upstream; empty: the requested name.
    """

    id: int
    name: str
    tenant_id: int | None = None
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
    allow_private: bool = False


class ModelCall(msgspec.Struct, frozen=True):
    """What an adapter is given: the final upstream request. `messages` are trimmed and filtered, `model` is the name
    the model's service knows; sampling parameters are read from `request`."""

    model: str
    messages: list[Message]
    request: ChatRequest


# What an adapter yields -------------------------------------------------------------------------------------------


class Delta(msgspec.Struct, frozen=True, omit_defaults=True):
    """A piece of choice `index`. `tool_calls` are stream fragments (`index id type function{name arguments}`)."""

    content: str | None = None
    reasoning: str | None = None
    tool_calls: list[Json] | None = None
    index: int = 0
    refusal: str | None = None
    logprobs: Json | None = None


class End(msgspec.Struct, frozen=True):
    """The last an adapter yields: a finish reason a choice (`stop length tool_calls content_filter`), the usage."""

    finish_reasons: dict[int, str]
    usage: Usage | None = None
    upstream_id: str | None = None
    system_fingerprint: str | None = None


# What the engine yields -------------------------------------------------------------------------------------------


class Start(msgspec.Struct, frozen=True):
    """The intent is durable and the model has begun. `model` is the public name, valid as a request."""

    id: str
    session_id: str | None
    model: str


class Choice(msgspec.Struct, frozen=True):
    message: Message
    finish_reason: str
    index: int = 0
    logprobs: Json | None = None


class Done(msgspec.Struct, frozen=True):
    """The terminal event: everything the client was sent, folded. Its completion entry is durable.

    `route` is `{"instance", "rules", "decision"}`; `decision` is the turn's id.
    """

    id: str
    session_id: str | None
    model: str
    choices: list[Choice]
    usage: Usage
    route: Json
    created: int
    system_fingerprint: str | None = None

    @property
    def message(self) -> Message:
        return self.choices[0].message

    @property
    def finish_reason(self) -> str:
        return self.choices[0].finish_reason


Event = Start | Delta | Done


# What the guard says ----------------------------------------------------------------------------------------------


class Verdict(msgspec.Struct, frozen=True):
    """One hit of a sensitive-word list. `where` is `input` or `output`; `action` is `block`, `mask` or `record`."""

    list: str
    version: int
    word: str
    action: str
    where: str


# What the journal keeps -------------------------------------------------------------------------------------------

State = Literal["completed", "refused", "failed", "cancelled", "aborted"]


class Intent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Written before the first byte of an answer leaves: who asked what, where it will go and why."""

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


class Completion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Written before the terminal event leaves: what came of the intent. `choices` is what the client was sent."""

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
    ttft: float | None = None
    duration: float = 0.0
    verdicts: list[Verdict] = []
