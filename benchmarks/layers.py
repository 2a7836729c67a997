"""Each layer of a turn by itself, with the parts of a running application."""

from __future__ import annotations

import itertools
import time
from collections.abc import Awaitable, Callable

import msgspec
import orjson

from access import asgi, bodies, schemas
from access.authentication import Authenticator, require_scope, with_user
from access.edges.openai import ChunkStream, completion
from adapters.base import AdapterConfig
from adapters.openai_answers import Answer, StreamedAnswer
from adapters.openai_compatible import OpenAICompatibleAdapter
from benchmarks import workload
from benchmarks.canned import ENDPOINT, STREAMED, WHOLE, CannedHttp
from benchmarks.spoken import answers
from clawdbot_site.wiring import Application
from engine.folding import Fold
from engine.turn import Turn
from engine.types import Answerer, ChatRequest, Delta, Done, ModelCall, Principal, Start, Usage

Work = Callable[[int], Awaitable[object]]
USAGE = Usage(prompt_tokens=70, completion_tokens=80)
PEER = "127.0.0.1"
ANSWERER = Answerer("gpt-3.5-turbo", 1, "v1.2")
ROUTE = {"instance": "gpt-3.5-turbo", "rules": ["gpt-3.5-turbo"], "decision": "0" * 32}


def authenticator(application: Application) -> Authenticator:
    """As the wiring makes it."""
    return application.authenticator


async def _send(event: object) -> None:
    """A server that is done at once."""


class Layers:
    """`works(n)`: by name, what one request costs there, for `n` at a time. `headers` are the caller's."""

    def __init__(
        self,
        application: Application,
        known: Authenticator,
        principal: Principal,
        headers: list[tuple[bytes, bytes]],
        together: int,
    ) -> None:
        self._engine = application.engine
        self._metrics = application.metrics
        self._authenticator = known
        self._principal = principal
        self._headers = headers
        self._together = together
        self._turns = itertools.count()
        self._bodies = [workload.openai()(number) for number in range(64)]
        self._requests = [schemas.openai_request(bodies.parse(body), request_id="r" * 32) for body in self._bodies]
        self._adapter = OpenAICompatibleAdapter(AdapterConfig(endpoint=ENDPOINT, api_key="sk-mock"), CannedHttp())  # type: ignore[arg-type]
        self._whole = Answer().read(WHOLE)[0]
        streamed = StreamedAnswer()
        self._spoken = [[Delta(piece) for piece in said] for said in answers()]
        self._deltas = [*streamed.feed(STREAMED), *streamed.finish()]
        fold = Fold()
        fold.add(self._whole)
        self._choices = fold.choices({0: "stop"}, "stop")
        question = self._requests[0]
        self._chosen = self._engine.caller.chooser.router.choose(principal, question, question.messages, {})
        self._chosen.outcome(None)
        self._done = Done("0" * 32, None, "gpt-3.5-turbo", self._choices, USAGE, ROUTE, 1_700_000_000)

    def works(self) -> dict[str, list[Work]]:
        named: dict[str, Work] = {
            "yardstick: 1,000 additions": self._add,
            "authentication": self._authenticate,
            "body guard and schema": self._parse,
            "limits: admit, reserve, settle, release": self._limit,
            "session: open and append": self._session,
            "guard: a question": self._guard_input,
            "guard: an answer, whole": self._guard_output,
            "guard: an answer, 32 chunks": self._guard_chunks,
            "routing decision": self._route,
            "journal: intent and completion": self._journal,
            "metrics": self._count,
            "adapter: encode the call": self._encode,
            "adapter: decode an answer": self._decode,
            "adapter: decode 32 chunks": self._decode_chunks,
            "edge: encode an answer": self._answer,
            "edge: encode 32 chunks": self._answer_chunks,
        }
        return {name: [work] * self._together for name, work in named.items()}

    def _request(self, number: int) -> ChatRequest:
        return self._requests[number % len(self._requests)]

    async def _add(self, number: int) -> None:
        """What a machine in use by others makes of the same work: compare it between runs."""
        total = 0
        for each in range(1000):
            total += each

    async def _authenticate(self, number: int) -> None:
        principal = self._authenticator.cached(self._headers, PEER)
        assert principal is not None
        require_scope(principal, "chat")
        with_user(principal, None)

    async def _parse(self, number: int) -> None:
        schemas.openai_request(bodies.parse(self._bodies[number % len(self._bodies)]), request_id="r" * 32)

    async def _limit(self, number: int) -> None:
        turn, limiter = Turn(self._principal, self._request(number)), self._engine.limiter
        admission = await limiter.admit(self._principal, turn.request, turn.id)
        reservation = await limiter.reserve(self._principal, self._chosen.instance, 80, 500)
        reservation.settle(USAGE)
        admission.release()

    async def _session(self, number: int) -> None:
        place = next(self._turns)
        name = f"layer-{place // (self._together * workload.TURNS)}-{place % self._together}"
        request = msgspec.structs.replace(self._request(number), session_id=name, remember=True, create_session=True)
        turn_id = f"{place:032x}"
        session = await self._engine.sessions.open(self._principal, request, turn_id)
        said = [*request.messages, self._choices[0].message]
        await self._engine.sessions.append(session, said, ANSWERER, turn_id)

    async def _guard_input(self, number: int) -> None:
        self._engine.guard.input(self._principal, self._request(number).messages)

    async def _guard_output(self, number: int) -> None:
        guard = self._engine.guard.output(self._principal)
        guard.feed(self._whole)
        guard.flush()

    async def _guard_chunks(self, number: int) -> None:
        guard = self._engine.guard.output(self._principal)
        for delta in self._spoken[number % len(self._spoken)]:
            guard.feed(delta)
        guard.flush()

    async def _route(self, number: int) -> None:
        request = self._request(number)
        self._engine.caller.chooser.router.choose(self._principal, request, request.messages, {}).outcome(None)

    async def _journal(self, number: int) -> None:
        turn = Turn(self._principal, self._request(number))
        turn.route = self._chosen
        await self._engine.journal.intent(turn.intent())
        await self._engine.journal.completion(turn.completion("completed", "", self._choices, USAGE))

    async def _count(self, number: int) -> None:
        tenant, model, seconds = "full", "gpt-3.5-turbo", time.monotonic() % 1
        self._metrics.first_token(instance=model, model=model, seconds=0.01)
        self._metrics.call(instance=model, model=model, error="", seconds=seconds)
        self._metrics.turn(
            tenant=tenant, model=model, edge="openai", state="completed", ttft=0.01, duration=seconds, usage=USAGE
        )
        self._metrics.spent(tenant=tenant, model=model, cost=1234)
        self._metrics.request("/v1/chat/completions", "POST", 200, seconds)

    async def _encode(self, number: int) -> None:
        request = self._request(number)
        self._adapter._body(ModelCall("mock", request.messages, request))

    async def _decode(self, number: int) -> None:
        answer = Answer()
        answer.read(WHOLE)
        answer.end()

    async def _decode_chunks(self, number: int) -> None:
        answer = StreamedAnswer()
        for _ in answer.feed(STREAMED):
            pass
        for _ in answer.finish():
            pass
        answer.end()

    async def _answer(self, number: int) -> None:
        headers = asgi.turn_headers(Start(self._done.id, None, self._done.model))
        await asgi.respond(_send, 200, orjson.dumps(completion(self._done)), headers)

    async def _answer_chunks(self, number: int) -> None:
        stream = ChunkStream(Start(self._done.id, None, self._done.model), False)
        for delta in self._deltas:
            await _send({"type": "http.response.body", "body": stream.chunk(delta), "more_body": True})
        await _send({"type": "http.response.body", "body": stream.end(self._done), "more_body": False})
