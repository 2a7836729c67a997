"""`/api/turns`: what became of a turn, and how to stop one."""

from __future__ import annotations

import re
from typing import Any

from rest_framework.request import Request

from access.lean import JsonReply
from access.views import LeanView
from engine.errors import TurnNotFound

_TURN_ID = re.compile(r"[0-9a-f]{32}\Z")


class TurnDetail(LeanView):
    """GET: the recorded turn, the decision that routed it in the end and the calls that failed before. A caller sees
    its own turns, with the scope `audit` the whole tenant's."""

    needs = ("chat", "audit")
    http_method_names = ["get"]

    async def get(self, request: Request, turn_id: str, **kwargs: Any) -> JsonReply:
        if not _TURN_ID.match(turn_id):
            raise TurnNotFound
        record = await self.parts.read_turn(self.principal.tenant_id, turn_id)
        if record.intent.subject != self.principal.subject and "audit" not in self.principal.scopes:
            raise TurnNotFound
        return self.json(
            {
                "id": turn_id,
                "state": record.completion.state if record.completion is not None else "in_flight",
                "decision": record.decision,
                "retries": record.retries,
                "intent": record.intent,
                "completion": record.completion,
            }
        )


class TurnCancel(LeanView):
    """POST: stops a turn that runs in this process; its own answer ends with the error `cancelled`."""

    http_method_names = ["post"]

    async def post(self, request: Request, turn_id: str, **kwargs: Any) -> JsonReply:
        self.parts.running.cancel(self.principal, turn_id)
        return self.json({"id": turn_id, "state": "cancelling"}, status=202)
