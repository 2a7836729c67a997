"""The description of `/api/webhooks` and `/api/outbox`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from access.management.outbox import AttemptPage, HeldAnswer, HeldPage, SinkPage
from access.management.paging import LIST_QUERY
from access.management.webhooks import (
    TestAnswer,
    WebhookAnswer,
    WebhookBody,
    WebhookMade,
    WebhookPage,
    WebhookPatch,
)
from access.operations import CHANGE_ERRORS, LIST_ERRORS, MANAGE_ERRORS, ONE_ERRORS, Operation

SIGNED_TEXT: Final = "The secret that its events are signed with is in this answer and nowhere else."
ROTATE_TEXT: Final = SIGNED_TEXT + " For a day the one before signs beside it."
HELD_QUERY: Final = (
    *LIST_QUERY,
    ("sink", "string", "Of this sink alone, such as `webhook:7`."),
    ("state", "string", "`waiting dead`."),
)

OUTBOX_OPERATIONS: Final[dict[str, Sequence[Operation]]] = {
    "/api/webhooks": [
        Operation(method="get", summary="The tenant's webhooks", answer=WebhookPage, query=LIST_QUERY,
                  errors=LIST_ERRORS),
        Operation(method="post", summary="Post events to an address", body=WebhookBody, answer=WebhookMade, status=201,
                  text=SIGNED_TEXT, errors=CHANGE_ERRORS),
    ],
    "/api/webhooks/{webhook_id}": [
        Operation(method="get", summary="A webhook", answer=WebhookAnswer, errors=ONE_ERRORS),
        Operation(method="patch", summary="Change a webhook, switch it off or on", body=WebhookPatch,
                  answer=WebhookAnswer, errors=(404, *CHANGE_ERRORS), text="Live within a second."),
        Operation(method="delete", summary="Post nothing there any more", status=204, errors=ONE_ERRORS),
    ],
    "/api/webhooks/{webhook_id}/rotate": [
        Operation(method="post", summary="Another secret for a webhook", answer=WebhookMade, status=201,
                  text=ROTATE_TEXT, errors=ONE_ERRORS),
    ],
    "/api/webhooks/{webhook_id}/test": [
        Operation(method="post", summary="Send a test event", answer=TestAnswer, status=202, errors=(409, *ONE_ERRORS),
                  text="It is tried once, within a second; the attempts tell what became of it."),
    ],
    "/api/webhooks/{webhook_id}/attempts": [
        Operation(method="get", summary="What became of the last events", answer=AttemptPage, query=LIST_QUERY,
                  errors=(404, *LIST_ERRORS)),
    ],
    "/api/outbox": [
        Operation(method="get", summary="How far the tenant's queues and webhooks are", answer=SinkPage,
                  errors=MANAGE_ERRORS),
    ],
    "/api/outbox/held": [
        Operation(method="get", summary="Events that wait for another try, or were given up", answer=HeldPage,
                  query=HELD_QUERY, errors=LIST_ERRORS),
    ],
    "/api/outbox/held/{held_id}": [
        Operation(method="get", summary="An event that is held back", answer=HeldAnswer, errors=ONE_ERRORS),
        Operation(method="delete", summary="Do not send it any more", status=204, errors=ONE_ERRORS),
    ],
    "/api/outbox/held/{held_id}/resend": [
        Operation(method="post", summary="Try it now", answer=HeldAnswer, status=202, errors=ONE_ERRORS),
    ],
}  # fmt: skip
