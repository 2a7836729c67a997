"""`/api/turns`: what became of a turn, and how to stop one."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import msgspec
from rest_framework.request import Request

from access import frames
from access.edges.rest import ResumedStream
from access.frames import TURN_ID
from access.lean import JsonReply
from access.views import LeanView
from compliance.journal.reader import TurnRecord
from engine.errors import TurnNotFound
from engine.types import Json

SHARED: Final = "shared_with"  # names another turn, which may be another key's


class TurnDetail(LeanView):
    """GET: the recorded turn, the decision that routed it in the end and the calls that failed before. A caller sees
    its own turns, with the scope `audit` the whole tenant's; whose call was shared is told if that may be seen too."""

    needs: ClassVar[tuple[str, ...]] = ("chat", "audit", "visit")
    http_method_names = ["get"]

    async def get(self, request: Request, turn_id: str, **kwargs: Any) -> JsonReply:
        return self.json(await self.told(turn_id))

    async def told(self, turn_id: str) -> Json:
        """Raises TurnNotFound, StoreUnavailable."""
        if not TURN_ID.match(turn_id):
            raise TurnNotFound
        record = await self.parts.read_turn(self.principal.tenant_id, turn_id)
        if not self._may_see(record):
            raise TurnNotFound
        completion, decision = record.completion, record.decision
        if completion is not None and SHARED in completion.decision and not await self._is_ours(decision[SHARED]):
            decision = {name: value for name, value in decision.items() if name != SHARED}
            completion = msgspec.structs.replace(completion, decision=decision)
        if completion is not None and completion.vectors:  # kept for their caller alone, and long
            completion = msgspec.structs.replace(completion, vectors=[])
        told = {
            "id": turn_id,
            "state": completion.state if completion is not None else "in_flight",
            "erased": record.erased,
            "unreadable": record.unreadable,
            "decision": decision,
            "retries": record.retries,
            "intent": record.intent,
            "completion": completion,
            "partial": record.partial,
        }
        return told if self.principal.kind != "visitor" else _without_reasons(told)

    def _may_see(self, record: TurnRecord) -> bool:
        """What a plugin and the model said to each other may be more than the caller is to know."""
        intent = record.intent
        own = intent.subject == self.principal.subject and not intent.parent_turn
        return own or "audit" in self.principal.scopes

    async def _is_ours(self, turn_id: str) -> bool:
        try:
            return self._may_see(await self.parts.read_turn(self.principal.tenant_id, turn_id))
        except TurnNotFound:
            return False


def _without_reasons(told: Json) -> Json:
    """What was said and which model answered: how a tenant arranges its models is nothing for visitors."""
    kept = {"model": told["decision"].get("model")}
    ends = {name: told[name] for name in ("intent", "completion") if told[name] is not None}
    shown = {name: msgspec.structs.replace(end, instance="", decision=kept) for name, end in ends.items()}
    if "completion" in shown:
        shown["completion"] = msgspec.structs.replace(shown["completion"], instance_id=0, cost=0, skipped=[])
    return {**told, **shown, "decision": kept, "retries": []}


class TurnCancel(LeanView):
    """POST: stops a turn, whichever worker answers it; its own answer ends with the error `cancelled`."""

    needs = ("chat", "visit")
    http_method_names = ["post"]

    async def post(self, request: Request, turn_id: str, **kwargs: Any) -> JsonReply:
        if not TURN_ID.match(turn_id):
            raise TurnNotFound
        await self.parts.canceller.cancel(self.principal, turn_id)
        return self.json({"id": turn_id, "state": "cancelling"}, status=202)


class TurnEvents(LeanView):
    """GET: the events of a caller's own turn from the one on that follows `Last-Event-ID`, then the live ones."""

    needs = ("chat", "visit")
    http_method_names = ["get"]

    async def get(self, request: Request, turn_id: str, **kwargs: Any) -> ResumedStream:
        if not TURN_ID.match(turn_id):
            raise TurnNotFound
        given = self.lean_request.headers_raw.get(b"last-event-id")
        named = given.decode("latin-1") if given is not None else request.query_params.get("last_event_id")
        first = frames.position(turn_id, named)
        return ResumedStream(self.parts, self.principal, turn_id, first, self.lean_request)
