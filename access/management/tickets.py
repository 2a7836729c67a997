"""`POST /api/ws-ticket`: a short-lived ticket that opens `/ws/chat` where no header can be sent."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request

from access.lean import JsonReply
from access.tickets import LIFETIME
from access.views import LeanView


class WebSocketTicket(LeanView):
    needs = ("chat", "visit")
    http_method_names = ["post"]

    async def post(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        ticket = await self.parts.tickets.issue(self.lean_request.scope["headers"])
        return self.json({"ticket": ticket, "expires_in": LIFETIME}, headers=[(b"cache-control", b"no-store")])
