"""The description of `/api/limits`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from access.management.limits import LimitsAnswer
from access.operations import Operation

LIMIT_OPERATIONS: Final[dict[str, Sequence[Operation]]] = {
    "/api/limits": [
        Operation(method="get", summary="What the caller may use, and what of it is used now", answer=LimitsAnswer,
                  errors=(401, 403, 503), text="Money of the tenant and its models: with the scope audit or manage."),
    ],
}  # fmt: skip
