"""What the engine needs of the apps. `clawdbot_site/wiring.py` names who implements each.

Every method on the path of a turn is called from the event loop: it may await, it never blocks and never touches the
ORM. Those without `async` do no I/O at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Hashable, Sequence
from typing import Protocol, TypeVar

from engine.entries import Claim, Completion, Intent, Partial, PastEvent, SessionEntry, SkippedHook
from engine.limiting import Admission as Admission
from engine.limiting import Limiter as Limiter
from engine.limiting import Reservation as Reservation
from engine.limiting import SpendingRecords as SpendingRecords
from engine.limiting import Spent as Spent
from engine.meters import CallMeter as CallMeter
from engine.meters import Meter as Meter
from engine.types import (
    Answerer,
    Burst,
    CachePolicy,
    ChatRequest,
    Choice,
    Constraints,
    Delta,
    EmbedCall,
    Embedded,
    End,
    Instance,
    Json,
    Message,
    ModelCall,
    Principal,
    Round,
    RoundAnswer,
    SessionName,
    StoredAnswer,
    Verdict,
)


class Adapter(Protocol):
    """One model instance's wire format and connection (see `adapters.base.BaseModelAdapter`)."""

    @property
    def shape(self) -> str: ...

    def stream(self, call: ModelCall) -> AsyncGenerator[Delta | End, None]: ...

    def bursts(self, call: ModelCall) -> AsyncGenerator[Delta | Burst | End, None]: ...

    def batch_key(self, call: ModelCall) -> Hashable: ...

    async def answer_all(self, calls: list[ModelCall]) -> list[StoredAnswer]: ...

    async def embed(self, call: EmbedCall) -> Embedded: ...

    async def probe(self) -> None: ...

    async def close(self) -> None: ...


class Session(Protocol):
    """An opened session: what was said before, as it was when the turn began. `answerer` None: nobody answered yet.
    `version` is the one the turn goes on from, `profile_brought` the profile that the turn's own request set."""

    id: str
    answerer: Answerer | None
    created: bool
    version: int
    history: Sequence[Message]
    user_profile: Json

    @property
    def profile_brought(self) -> Json | None: ...


S = TypeVar("S", bound=Session)


class Sessions(Protocol[S]):
    async def open(self, principal: Principal, request: ChatRequest, turn_id: str) -> S:
        """Loads the session or starts one, and lets the turn in: others wait until `append` or `close`. Nothing is
        written until `append`. `turn_id` empty: only looks, and waits for nobody.

        Raises SessionNotFound, SessionBusy, StoreUnavailable."""

    async def window(
        self,
        session: S | None,
        messages: Sequence[Message],
        instance: Instance,
        model: str = "",
        request: ChatRequest | None = None,
    ) -> list[Message]:
        """History and new messages as they go upstream, trimmed for this instance. `model` is the name its service
        knows; the request's tools and the answer it wants take room as well. Raises ContextTooLong."""

    def needs(self, session: S | None, messages: Sequence[Message]) -> int:
        """At least so many tokens `window` cannot trim away: no smaller context window has room for them."""

    async def confirm(self, session: S) -> None:
        """Before the turn's completion is recorded. Raises Conflict if another turn has been let in meanwhile."""

    async def append(self, session: S, messages: Sequence[Message], answerer: Answerer | None, turn_id: str) -> None:
        """Adds the turn in one atomic step and lets the next one in; the same turn again changes nothing. Another model
        than the session's last turn had is noted there. `answerer` None: a plugin answered.

        Raises StoreUnavailable, also when the turn may have been added."""

    async def close(self, session: S, *, unsure: bool = False) -> None:
        """Gives the session back without a turn; waits for nothing and never raises. `unsure`: the turn may be on
        record all the same."""


class OutputGuard(Protocol):
    """The guard's state over one answer. What `feed` returns may be sent, the rest is held back inside."""

    verdicts: list[Verdict]

    @property
    def held(self) -> tuple[int, float] | None:
        """How many characters were held back at most, and for how many seconds; None: the tenant has no words."""

    @property
    def blocked(self) -> bool:
        """True once a blocking word was seen: nothing more may be sent, the answer ends with `content_filter`."""

    def feed(self, delta: Delta) -> Delta | None:
        """What is safe to send now of this delta and of all held before on its choice and channels; None: nothing."""

    def whole(self, delta: Delta) -> list[Delta]:
        """`feed` and `flush` at once, for the last delta of an answer."""

    def feed_all(self, deltas: list[Delta]) -> list[Delta]:
        """The same for deltas that arrived together: what is sent in the end is the same text, also where it is cut
        otherwise. Nothing but an end of the answer comes between them."""

    def flush(self) -> list[Delta]:
        """The answer is over: what was held back, if it may be sent."""


class Guard(Protocol):
    def weight(self, principal: Principal) -> int:
        """How many times as long as usual the caller's texts may take to be read; 0: nothing is looked for in them."""

    def input(self, principal: Principal, messages: Sequence[Message]) -> tuple[Sequence[Message], list[Verdict]]:
        """The messages to go on with (masked where a list says so) and what was found. A verdict with action `block`
        means the turn must be refused."""

    def request(self, principal: Principal, request: ChatRequest) -> tuple[ChatRequest, list[Verdict]]:
        """The same for what of a request reaches the model besides messages: tools and parameters. The same object
        where nothing changed."""

    def profile(self, principal: Principal, profile: Json) -> tuple[Json, list[Verdict]]:
        """The same for a user profile, keys and values."""

    def output(self, principal: Principal) -> OutputGuard: ...

    def ended(self, principal: Principal, verdicts: Sequence[Verdict]) -> None:
        """A turn is over, however, in which all this was found."""

    def allows(self, principal: Principal, text: str) -> bool:
        """Whether a text of the model's service that is no answer may be shown: nothing in it is to be blocked or
        masked in answers."""


class Restorer(Protocol):
    """Puts back into one answer what was masked before its call. `counts`: different values by kind."""

    counts: dict[str, int]

    def feed(self, delta: Delta) -> Delta | None:
        """What may go on now of this delta and of all held before on its choice and channels; None: nothing."""

    def flush(self) -> list[Delta]:
        """The answer is over: what was held back."""


class Privacy(Protocol):
    """Keeps personal data from models; the last step before a call and the first after it."""

    def mask(
        self, principal: Principal, messages: list[Message], request: ChatRequest
    ) -> tuple[list[Message], ChatRequest, Restorer | None]:
        """The conversation and the request as the model may read them. None, and the same objects: nothing was
        masked. Each call of a turn is masked by itself."""

    def mask_each(self, principal: Principal, texts: Sequence[str]) -> tuple[list[str], dict[str, int]]:
        """Texts of which only vectors come back, and how many values of each kind were masked."""


AskAgain = Callable[[Round], Awaitable[RoundAnswer]]


class PluginRun(Protocol):
    """The plugins of one turn. What they made of it is known when `pre` has returned: `answer` is set when one
    short-circuited, `touched` says that messages were added or changed. `metadata` is by plugin, `skipped` what did not
    run to its end. Whoever has it calls `release` once when the turn is over.

    Every method raises PluginUnavailable where a plugin that the tenant requires does not do its work."""

    answer: Message | None
    messages: Sequence[Message]
    features: Json
    touched: bool
    metadata: dict[str, Json]
    skipped: list[SkippedHook]

    @property
    def needs_full_response(self) -> bool:
        """Whether `post` is to be called with the whole answer; else, of a model's answer, `delta` and `rest` where
        `sees_deltas`."""

    @property
    def sees_deltas(self) -> bool: ...

    @property
    def sees_end(self) -> bool:
        """Whether `observe` is to be called."""

    async def pre(self) -> None: ...

    async def post(self, choices: list[Choice], ask: AskAgain | None = None) -> list[Choice]:
        """The whole answer as the plugins leave it. With `ask` they ask the model again, a few times at most; it raises
        EngineError."""

    async def delta(self, delta: Delta) -> Delta | None:
        """A piece of the answer as the plugins leave it; None: nothing of it is left."""

    async def rest(self) -> list[Delta]:
        """The model has ended its answer: what the plugins held back."""

    async def observe(self, choices: list[Choice]) -> None:
        """What the client was sent, before its end is told."""

    def release(self) -> None: ...


class Plugins(Protocol):
    def run(
        self,
        principal: Principal,
        request: ChatRequest,
        session: Session | None,
        messages: Sequence[Message],
        turn_id: str,
        *,
        rehearsal: bool = False,
    ) -> PluginRun:
        """The tenant's plugins as they are now, for one turn. `rehearsal`: only those without any effect outside the
        turn, and none is required."""

    def spoken(self, principal: Principal, request: ChatRequest) -> str | None:
        """The tag of the language the request is written in, where a plugin of the tenant knows; never raises. For
        turns that fail before their plugins have run."""


class Route(Protocol):
    """A chosen instance. `outcome` is told when the call is over; the first time counts."""

    instance: Instance
    adapter: Adapter
    model: str
    upstream_model: str
    rules: list[str]
    decision: Json
    prompt_tokens: int

    def first_token(self) -> None: ...

    def unused(self) -> None:
        """Nothing is called after all: the answer comes from a cache or another turn's call. Instead of `outcome`."""

    def again(self, prompt_tokens: int) -> Route:
        """Another plain call of the same instance, which begins now and is told its own outcome; nobody asks whether
        the instance has room for it. For whoever takes the calls of several turns together."""

    def outcome(self, error: BaseException | None) -> None:
        """`error` None: it answered. Cancellation by the caller says nothing about the instance."""


class Router(Protocol):
    def choose(
        self,
        principal: Principal,
        request: ChatRequest,
        messages: Sequence[Message],
        features: Json,
        constraints: Constraints | None = None,
    ) -> Route:
        """Rules, then weights, then the rules' fallbacks. `messages` is the untrimmed conversation.

        Raises ModelNotFound (no such name for this tenant), ContextTooLong (no reachable instance has room for what
        cannot be trimmed) and Overloaded (all that fit were tried or are busy)."""


class Answers(Protocol):
    """Kept answers, each tenant's in its own store (see `engine.caching` for their keys)."""

    def policy(self, principal: Principal) -> CachePolicy:
        """What the tenant chose; no I/O."""

    async def get(self, tenant_id: int, key: str) -> StoredAnswer | None:
        """None also where the store is away or what it holds makes no sense."""

    def put(self, tenant_id: int, key: str, answer: StoredAnswer, ttl: int) -> None:
        """Sends it on its way and waits for nothing; never raises."""


class Journal(Protocol):
    @property
    def healthy(self) -> bool:
        """False while the last commit failed or is over 250 ms late: then a turn awaits its intent before it calls."""

    def intent(self, intent: Intent, claim: Claim | None = None) -> asyncio.Future[None]:
        """Hands the entry over at once. The future resolves when it is durable and fails with AuditUnavailable when it
        cannot be, at the latest 2 s after the call; InvalidRequest when the store refuses this very record. It may be
        cancelled by its waiter; a failure nobody waits for is not reported.

        A `claim` is granted with the entry, in one transaction. If another turn holds the key, the future fails with
        IdempotencyRunning, and the entry is there all the same: the turn is to be ended."""

    def completion(self, completion: Completion) -> asyncio.Future[None]:
        """The same for the end of a turn."""

    def partial(self, partial: Partial) -> None:
        """Hands over what a running stream was sent; nobody waits for it, and it may get lost."""


class SessionJournal(Protocol):
    """Where it is written down what is done to sessions besides turns. The journal's writer is one."""

    def session(self, entry: SessionEntry) -> asyncio.Future[None]:
        """The future resolves when the entry is durable and fails with AuditUnavailable when it cannot be, at the
        latest 2 s after the call."""


class SessionPast(Protocol):
    """What the journal knows of sessions; for the event loop."""

    async def seen(self, names: Collection[SessionName]) -> set[SessionName]:
        """Those that anybody's session ever had. Raises StoreUnavailable."""

    async def events(
        self, tenant_id: int, session_id: str, *, user: str | None = None, key_id: int | None = None, after: int = 0
    ) -> list[PastEvent]:
        """Completed turns and what else was done, of this user, or of the one of this API key's users who did the last
        of it, upon the version `after` or later ones, by (`parent`, `at`). Of a user who was erased at most that it
        ended. Raises StoreUnavailable."""

    async def known(self, tenant_id: int, user: str) -> list[tuple[str, float]]:
        """Ids of the user's sessions that were not deleted, and when their last turns began. Some may be of sessions
        that never came to be, or of a user who was erased. Raises StoreUnavailable."""


class Vault(Protocol):
    """Seals what is kept outside the journal with the keys of its users, so that it goes when they are erased.
    Blocking: it may read the database."""

    def pseudonym(self, tenant_id: int, user: str) -> str:
        """What stands for the user where names must not. Raises StoreUnavailable."""

    def pseudonyms(self, tenant_id: int, users: Collection[str]) -> dict[str, str]:
        """The same for many."""

    def seal(self, tenant_id: int, user: str, place: str, content: bytes) -> bytes:
        """Sealed for `place`, which is checked when it is opened. Raises StoreUnavailable."""

    def seal_all(self, tenant_id: int, items: Sequence[tuple[str, str, bytes]]) -> list[bytes | None]:
        """The same for users, places and contents, in one go. None: the user was erased moments ago."""

    def open(self, tenant_id: int, place: str, sealed: bytes) -> bytes | None:
        """None: its user was erased. Raises StoreUnavailable, ValueError (it was altered, or lies elsewhere)."""

    def open_all(self, tenant_id: int, items: Sequence[tuple[str, bytes]]) -> list[bytes | ValueError | None]:
        """The same for places and what was sealed for them, with the error in its place."""


class Erasable(Protocol):
    """A place where lies what users said. Whatever keeps any of it implements this (see `docs/erasure.md`)."""

    home: str

    async def erase(self, tenant_id: int, whose: Callable[[str], bool]) -> int:
        """Deletes what is there of the tenant's users for whom `whose` is true, and all that nobody can tell apart from
        it; how many things. Safe to repeat. Raises StoreUnavailable."""


class Clock(Protocol):
    def time(self) -> float: ...

    def monotonic(self) -> float: ...
