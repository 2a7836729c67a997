"""`/api/turns`: what became of a turn, and how to stop one."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from rest_framework.request import Request

from access.lean import JsonReply
from access.views import LeanView
from compliance.journal.reader import TurnRecord
from engine.errors import TurnNotFound
from engine.types import Json

SHARED: Final = "shared_with"  # names another turn, which may be another key's
_TURN_ID = re.compile(r"[0-9a-f]{32}\Z")


class TurnDetail(LeanView):
    """GET: the recorded turn, the decision that routed it in the end and the calls that failed before. A caller sees
    its own turns, with the scope `audit` the whole tenant's; whose call was shared is told if that may be seen too."""

    needs = ("chat", "audit")
    http_method_names = ["get"]

    async def get(self, request: Request, turn_id: str, **kwargs: Any) -> JsonReply:
        return self.json(await self.told(turn_id))

    async def told(self, turn_id: str) -> Json:
        """Raises TurnNotFound, StoreUnavailable."""
        if not _TURN_ID.match(turn_id):
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
        return {
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

    def _may_see(self, record: TurnRecord) -> bool:
        return record.intent.subject == self.principal.subject or "audit" in self.principal.scopes

    async def _is_ours(self, turn_id: str) -> bool:
        try:
            return self._may_see(await self.parts.read_turn(self.principal.tenant_id, turn_id))
        except TurnNotFound:
            return False


class TurnCancel(LeanView):
    """POST: stops a turn that runs in this process; its own answer ends with the error `cancelled`."""

    http_method_names = ["post"]

    async def post(self, request: Request, turn_id: str, **kwargs: Any) -> JsonReply:
        self.parts.running.cancel(self.principal, turn_id)
        return self.json({"id": turn_id, "state": "cancelling"}, status=202)
