"""The description of what visitors come by: tickets, and what a tenant's chat looks like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from access.management.visitors import ChatSiteAnswer, SignedVisitorBody, VisitorBody
from access.operations import MANAGE_ERRORS, Operation
from access.visiting import Ticket

VISITOR_TEXT = (
    "Where the tenant takes anyone. `previous`, an earlier ticket, keeps the same visitor. A browser's `Origin` must "
    "be ours or one the tenant allows."
)

VISITOR_OPERATIONS: Final[dict[str, Sequence[Operation]]] = {
    "/api/visitors": [
        Operation(method="post", summary="A visitor's ticket", body=VisitorBody, answer=Ticket, status=201,
                  errors=(400, 403, 429, 503), text=VISITOR_TEXT, open=True),
    ],
    "/api/visitor-tickets": [
        Operation(method="post", summary="A ticket for somebody the tenant has signed in", body=SignedVisitorBody,
                  answer=Ticket, status=201, errors=(400, *MANAGE_ERRORS)),
    ],
    "/api/chat-site": [
        Operation(method="get", summary="What a tenant's chat looks like", answer=ChatSiteAnswer, open=True,
                  errors=(400,), query=(("tenant", "string", "The tenant's slug."),)),
    ],
}  # fmt: skip
