"""What one turn knows of itself while it runs, and the journal entries it makes of that."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final, Literal

import msgspec

from engine import estimating, pricing
from engine.cuts import Cuts
from engine.entries import Claim, Completion, Intent, Retry, State
from engine.errors import BudgetExceeded, ContentBlocked
from engine.folding import Fold
from engine.ports import Admission, OutputGuard, PluginRun, Reservation, Restorer, Route, Session
from engine.tracing import NO_TRACE, Trace
from engine.types import (
    Answerer,
    Burst,
    CachePolicy,
    ChatRequest,
    Choice,
    Constraints,
    Delta,
    Done,
    End,
    Json,
    Message,
    Principal,
    RateLimits,
    Source,
    Start,
    Usage,
    Verdict,
)

NO_END: Final = sys.maxsize
NO_USAGE: Final = Usage()
NOTHING: Final[Json] = {}  # what most turns have of something; nobody adds to it, it is replaced
CHOSEN: Final = Constraints()  # of a turn whose instance answers: nobody is asked for another one
MOST_SKIPPED: Final = 32  # hooks of plugins on record


def new_turn_id(now: float) -> str:
    """32 hex digits that sort by time: 48 bits of milliseconds, 80 random bits (the layout of a UUIDv7 or ULID)."""
    return f"{int(now * 1000):012x}{os.urandom(10).hex()}"


class Turn:
    """Filled step by step by `Engine`; no I/O of its own."""

    __slots__ = (
        "admission", "appended", "attempts", "began", "cheaper", "claim", "completing", "constraints", "counted",
        "cut", "cuts", "decided", "end", "ended", "entered", "expected", "fold", "id", "intended", "keep", "messages",
        "metadata", "output", "over_budget", "parent", "personal", "plugins", "policy", "principal", "refused",
        "request", "reservation", "restorer", "retries", "retrying", "room", "rounds", "route", "session", "source",
        "spaced", "stage", "started", "time", "trace", "tries", "ttft", "unanswered", "vectors", "verdicts", "waited",
    )  # fmt: skip

    def __init__(
        self, principal: Principal, request: ChatRequest, claim: Claim | None = None, parent: Turn | None = None
    ) -> None:
        self.time = time.time()
        self.began = time.monotonic()
        self.id = new_turn_id(self.time)
        self.principal = principal
        self.request = request
        self.claim = claim
        self.parent = parent  # of a further round: the turn whose plugin asked for it
        self.rounds = NO_USAGE  # of such rounds in this turn
        self.metadata: Json = NOTHING  # by plugin, as the client is given it
        self.vectors: Sequence[bytes] = ()  # to be recorded
        self.messages: Sequence[Message] = request.messages
        self.verdicts: Sequence[Verdict] = ()
        self.fold = Fold()
        self.cuts = Cuts() if request.resumable else None
        self.constraints = Constraints()
        self.source: Source = "model"
        self.tries = self.attempts = 0  # instances asked, one way or another, and calls of its own among them
        self.retries: Sequence[Retry] = ()
        self.retrying = False
        self.policy: CachePolicy | None = None  # of kept answers and shared calls, where the request may be repeated
        self.keep: Callable[[], bool] | None = None
        self.ttft: float | None = None
        self.admission: Admission | None = None
        self.session: Session | None = None
        self.plugins: PluginRun | None = None
        self.route: Route | None = None
        self.refused: Json = NOTHING  # the router's decision where it found nobody
        self.reservation: Reservation | None = None
        self.room = NO_END  # bytes of an answer that what is set aside is enough for,
        self.over_budget: BudgetExceeded | None = None  # why a cheaper instance is looked for,
        self.cheaper = 0  # and how often it was
        self.spaced = 0  # milliseconds between two pieces of its stream
        self.cut = False  # where the answer ended since a budget had no more
        self.unanswered = NO_USAGE  # what has to be paid for a call that was left before its first token
        self.output: OutputGuard | None = None
        self.restorer: Restorer | None = None  # of the call that is made, where something was masked for it
        self.personal: dict[str, int] = NOTHING
        self.end: End | None = None
        self.ended = 0.0  # when its completion was written
        self.trace: Trace = NO_TRACE
        self.decided = False
        self.intended = False
        self.completing: asyncio.Future[None] | None = None
        self.appended = False
        self.counted = False
        self.started = False
        self.stage: Literal["", "entered", "preparing"] = ""  # of its stay, see `engine.worker`
        self.entered = self.began
        self.waited = 0.0  # seconds, for places
        self.expected = 0.0  # in tokens, for whoever says whose turn it is; 0: nobody has asked

    @property
    def session_id(self) -> str | None:
        return self.session.id if self.session else None

    @property
    def conversation(self) -> Session | None:
        """The session that the turn goes on from. A further round goes on from its turn's, and is no part of it."""
        return self.session if self.parent is None else self.parent.session

    @property
    def model(self) -> str:
        return self.route.model if self.route else self.request.model

    @property
    def blocked(self) -> bool:
        return self.output is not None and self.output.blocked

    @property
    def needs_full_response(self) -> bool:
        return self.plugins is not None and self.plugins.needs_full_response

    @property
    def takes_bursts(self) -> bool:
        """Whether nobody but the guard looks at the pieces of its answer."""
        return self.parent is None and not self.needs_full_response and not self.sees_deltas

    @property
    def passes(self) -> bool:
        """Whether nobody changes its answer or looks at it: no words, no plugins, no personal data, nobody who keeps or
        shares it, and it leaves as it comes. Who may ask again with a key gets the same then: it is encoded."""
        return (
            self.takes_bursts
            and not self.request.idempotency
            and self.policy is None
            and self.restorer is None
            and not self.spaced
            and self.output is not None
            and self.output.held is None
        )

    @property
    def sees_deltas(self) -> bool:
        return self.plugins is not None and self.plugins.sees_deltas

    def first_token(self) -> None:
        """Its instance answers. What served to find that is not kept for as long as a stream lasts."""
        self.ttft = time.monotonic() - self.began
        self.trace.event("first_token")
        assert self.route is not None
        self.route.first_token()
        self.constraints = CHOSEN

    def judge(self, verdicts: Sequence[Verdict]) -> None:
        """Notes what the guard found in the input. Raises ContentBlocked where a list says so."""
        if verdicts:
            self.verdicts = [*self.verdicts, *(verdict for verdict in verdicts if verdict not in self.verdicts)]
            if any(verdict.action == "block" for verdict in verdicts):
                raise ContentBlocked()

    def answered(self) -> list[Choice]:
        """The answer a plugin gave in place of a model, if one did."""
        answer = self.plugins.answer if self.plugins is not None else None
        return [Choice(message=answer, finish_reason="stop")] if answer is not None else []

    def answerer(self) -> Answerer | None:
        """None: a plugin answered."""
        if self.route is None:
            return None
        return Answerer(self.route.model, self.route.instance.id, self.route.instance.version)

    def let_out(self, event: Delta | Burst) -> Delta | Burst | None:
        """What the guard lets out after what came; that, and only that, becomes part of the answer."""
        if type(event) is Delta:
            return self.release(event)
        assert type(event) is Burst
        said = self.release_whole(event.deltas[0]) if event.last else self.release_all(event.deltas)
        if said is event.deltas:  # untouched, and so are its bytes
            return event
        if len(said) > 1:
            return Burst(said)
        return said[0] if said else None

    def release(self, delta: Delta) -> Delta | None:
        """What the guard lets out after this delta; that, and only that, becomes part of the answer."""
        assert self.output is not None
        safe = self.output.feed(delta)
        if safe is not None:
            self.fold.add(safe)
            if self.cuts is not None:
                self.cuts.add(safe)
        return safe

    def release_whole(self, delta: Delta) -> list[Delta]:
        """The same for the last delta; nothing is held back."""
        assert self.output is not None
        released = self.output.whole(delta)
        for safe in released:
            self._add(safe)
        return released

    def release_all(self, deltas: list[Delta]) -> list[Delta]:
        """The same for deltas that arrived together."""
        assert self.output is not None
        released = self.output.feed_all(deltas)
        for safe in released:
            self._add(safe)
        return released

    def release_rest(self, pending: Sequence[Delta]) -> list[Delta]:
        """The deltas that are still to come, and what the guard held back."""
        assert self.output is not None
        released = [safe for delta in pending if not self.blocked and (safe := self.release(delta)) is not None]
        rest = self.output.flush()
        for delta in rest:
            self._add(delta)
        return [*released, *rest]

    def _add(self, delta: Delta) -> None:
        self.fold.add(delta)
        if self.cuts is not None:
            self.cuts.add(delta)

    def history(self) -> Sequence[Message]:
        """The untrimmed conversation, as the router measures it."""
        session = self.conversation
        if session is None or not session.history:
            return self.messages
        return [*session.history, *self.messages]

    def choices(self, unfinished: str = "stop") -> list[Choice]:
        """What was said; `unfinished` is the finish reason of what the model did not end."""
        if self.blocked:
            return self.fold.choices({}, "content_filter")
        if self.cut:
            return self.fold.choices({}, "length")
        return self.fold.choices(self.end.finish_reasons, "stop") if self.end else self.fold.choices({}, unfinished)

    @property
    def features(self) -> Json:
        """What plugins found out."""
        whose = self if self.parent is None else self.parent
        return whose.plugins.features if whose.plugins is not None else {}

    def usage(self, said: list[Choice] | None = None) -> Usage:
        """What the model's service counted, else an estimate of what was asked and produced so far. `said`: what the
        model produced, where it is not what was let out."""
        if self.end is not None and self.end.usage is not None:
            used = self.end.usage
            if used.estimated and not used.prompt_tokens and self.route is not None:
                used = msgspec.structs.replace(used, prompt_tokens=self.route.prompt_tokens)
            return used
        if self.route is None or not self.tries or (self.source != "model" and self.end is None):
            return Usage()
        return estimating.usage(self.route.prompt_tokens, self.choices() if said is None else said)

    def cost(self, usage: Usage) -> int:
        """What the turn has to pay for it, in millionths."""
        return pricing.cost(self.route.instance, usage) if self.route is not None and self.source == "model" else 0

    def start(self) -> Start:
        self.started = True
        return Start(id=self.id, session_id=self.session_id, model=self.model, source=self.source, limits=self.limits())

    def limits(self) -> RateLimits | None:
        """The limits a minute it counted against so far."""
        requests = self.admission.window if self.admission is not None else None
        tokens = self.reservation.window if self.reservation is not None else None
        return RateLimits(requests, tokens) if requests is not None or tokens is not None else None

    def done(self, choices: list[Choice], usage: Usage) -> Done:
        route = self.route
        return Done(
            id=self.id,
            session_id=self.session_id,
            model=self.model,
            choices=choices,
            usage=usage + self.rounds if self.rounds.total_tokens else usage,
            route={
                "instance": route.instance.name if route else "",
                "rules": route.rules if route else [],
                "decision": self.id,
            },
            created=int(self.time),
            system_fingerprint=self.end.system_fingerprint if self.end else None,
            ended=self.ended,
            stop_sequence=self.end.stop_sequence if self.end else None,
            metadata=self.metadata,
            verbatim=self.end.verbatim if self.end and not (self.blocked or self.cut) else None,
        )

    def intent(self) -> Intent:
        request, route = self.request, self.route
        return Intent(
            turn_id=self.id,
            tenant_id=self.principal.tenant_id,
            at=self.time,
            edge=request.edge,
            request_id=request.request_id,
            subject=self.principal.subject,
            user=self.principal.user,
            key_id=self.principal.key_id,
            session_id=self.session_id,
            model=request.model,
            instance=route.instance.name if route else "",
            rules=route.rules if route else self.refused.get("rules", []),
            decision=route.decision if route else self.refused,
            messages=list(self.messages),
            params=self._params(),
            verdicts=list(self.verdicts),
            personal=self.personal,
            parent=self.session.version if self.session is not None else 0,
            profile=self.session.profile_brought if self.session is not None else None,
            echo=request.echo,
            parent_turn=self.parent.id if self.parent is not None else "",
        )

    def _params(self) -> dict[str, object]:
        request = self.request
        named = {"temperature": request.temperature, "max_tokens": request.max_tokens, "tools": request.tools}
        return {**{key: value for key, value in named.items() if value is not None}, **request.params}

    def completion(self, state: State, error: str, choices: list[Choice], usage: Usage) -> Completion:
        route = self.route
        self.ended = time.time()
        return Completion(
            turn_id=self.id,
            tenant_id=self.principal.tenant_id,
            at=self.ended,
            state=state,
            error=error,
            session_id=self.session_id,
            model=self.model,
            instance=route.instance.name if route else "",
            choices=choices,
            usage=usage,
            attempts=self.attempts,
            source=self.source,
            retries=list(self.retries),
            decision=route.decision if route is not None and (self.retries or self.source == "shared") else {},
            ttft=self.ttft,
            duration=time.monotonic() - self.began,
            verdicts=list(self.output.verdicts) if self.output is not None else [],
            answerer=self.answerer() if self.session is not None else None,
            system_fingerprint=self.end.system_fingerprint if self.end is not None else None,
            vectors=list(self.vectors),
            cuts=(self.cuts.marks or []) if self.cuts is not None and choices else [],
            key_id=self.principal.key_id,
            member_id=self.principal.member_id,
            edge=self.request.edge,
            instance_id=route.instance.id if route else 0,
            cost=self.cost(usage),
            parent_turn=self.parent.id if self.parent is not None else "",
            rounds=self.rounds,
            skipped=self.plugins.skipped[:MOST_SKIPPED] if self.plugins is not None else [],
            plugins=self.metadata,
        )
