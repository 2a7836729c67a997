"""The description of `/api/alerts`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from access.management.alerts import AlertAnswer, AlertPage
from access.management.paging import LIST_QUERY
from access.operations import LIST_ERRORS, ONE_ERRORS, Operation

ALERT_OPERATIONS: Final[dict[str, Sequence[Operation]]] = {
    "/api/alerts": [
        Operation(method="get", summary="What was found at the tenant", answer=AlertPage, query=LIST_QUERY,
                  errors=LIST_ERRORS),
    ],
    "/api/alerts/{alert_id}/acknowledge": [
        Operation(method="post", summary="Say that somebody knows of it", answer=AlertAnswer, errors=ONE_ERRORS,
                  text="It is not told again until it is over."),
    ],
}  # fmt: skip
