"""A request that its caller gave a key is answered once: sent again with the key, what was recorded comes back and no
model is called. The key is written with the intent of the turn that holds it (`entries.Claim`), so the journal alone
decides who holds it. Source: draft-ietf-httpapi-idempotency-key-header."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from hashlib import sha256
from typing import Final, Protocol

import msgspec

from engine import cuts
from engine.aside import Aside, length, length_of
from engine.entries import Claim, Completion, Intent
from engine.errors import IdempotencyMismatch, IdempotencyRunning, NotSupported
from engine.folding import as_delta
from engine.ports import Meter
from engine.types import ChatRequest, Done, Embeddings, Event, Principal, Start

LIFE: Final = 24 * 3600.0  # seconds from its turn on that a key is known
MOST_INPUTS: Final = 128  # of a request for embeddings with a key: its vectors are kept in the journal

_canonical: Final = msgspec.json.Encoder(order="sorted").encode


class Recorded(msgspec.Struct, frozen=True):
    """A completed turn as the journal has it."""

    intent: Intent
    completion: Completion


class Once(Protocol):
    async def find(self, principal: Principal, key: str, fingerprint: str) -> Claim | Recorded:
        """What a turn needs to hold the key, or the answer that was given under it.

        Raises IdempotencyMismatch, IdempotencyRunning, AuditUnavailable."""


class Never:
    """Where no keys are kept: none is taken either."""

    async def find(self, principal: Principal, key: str, fingerprint: str) -> Claim | Recorded:
        raise NotSupported("Idempotency keys are not kept here.")


class Repeats:
    """One an engine. What a turn of this process holds and the journal does not know yet, others of it hear of too."""

    def __init__(self, once: Once, meter: Meter, aside: Aside) -> None:
        self._once = once
        self._meter = meter
        self._aside = aside
        self._held: dict[tuple[int, str, str], str] = {}

    @asynccontextmanager
    async def of(self, principal: Principal, request: ChatRequest) -> AsyncIterator[Claim | Recorded]:
        """Inside, the caller answers the request: with the claim, which nobody else of this process has meanwhile, or
        as it was recorded. Raises what `Once.find` raises."""
        name = (principal.tenant_id, principal.subject, request.idempotency)
        size = length(request.messages) + length_of(request.tools) + length_of(request.metadata)
        asked = await self._aside.read(size, lambda: fingerprint(request))
        found = await self._once.find(principal, request.idempotency, asked)
        if isinstance(found, Recorded):
            self._meter.replayed(tenant=principal.tenant, edge=request.edge)
            yield found
            return
        self._check(name, asked)
        with self._holding(name, asked):
            yield found

    def _check(self, name: tuple[int, str, str], asked: str) -> None:
        held = self._held.get(name)
        if held is not None:
            raise IdempotencyRunning() if held == asked else IdempotencyMismatch()

    @contextmanager
    def _holding(self, name: tuple[int, str, str], asked: str) -> Iterator[None]:
        self._held[name] = asked
        try:
            yield
        finally:
            del self._held[name]


def fingerprint(request: ChatRequest) -> str:
    """The same for the same request at the same edge: of all that its body said and is read here, of the session its
    headers name and of its language. The order of keys and what only headers say count for nothing."""
    said = msgspec.structs.replace(
        request, idempotency="", headers=(), request_id="", cache="", stream_interval=msgspec.UNSET
    )
    return sha256(_canonical(said)).hexdigest()


# What was recorded, as it was told ----------------------------------------------------------------------------------


def replayed(found: Recorded) -> Iterator[Event]:
    """The same answer, in the same pieces where it is known how it was cut, else in one a choice."""
    done = done_of(found)
    yield Start(done.id, done.session_id, done.model, found.completion.source, replayed=True)
    try:
        yield from cuts.pieces(found.completion.cuts, done.choices)
    except ValueError:
        yield from map(as_delta, done.choices)
    yield done


def done_of(found: Recorded) -> Done:
    intent, completion = found.intent, found.completion
    rules = completion.decision.get("rules", intent.rules)  # after other calls failed, by another decision
    return Done(
        id=completion.turn_id,
        session_id=completion.session_id,
        model=completion.model,
        choices=completion.choices,
        usage=completion.usage + completion.rounds,
        route={"instance": completion.instance, "rules": rules, "decision": completion.turn_id},
        created=int(intent.at),
        system_fingerprint=completion.system_fingerprint,
        ended=completion.at,
        metadata=completion.plugins,
    )


def embeddings_of(found: Recorded) -> Embeddings:
    done = done_of(found)
    vectors = [unpacked(packed) for packed in found.completion.vectors]
    return Embeddings(done.id, done.model, vectors, done.usage, done.route, replayed=True)


def packed(vector: Sequence[float]) -> bytes:
    """Eight bytes a number, so that each comes back as it was."""
    return struct.pack(f"<{len(vector)}d", *vector)


def unpacked(vector: bytes) -> list[float]:
    return list(struct.unpack(f"<{len(vector) // 8}d", vector))
