"""The description of `/api/usage`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from access.management.usage import UsageReport
from access.operations import MANAGE_ERRORS, Operation

TEXT = (
    "With the scope `audit` or `manage` the whole tenant's, else the caller's own. It is counted with the turns' "
    "records in whole hours, and stays when those are pruned. Days are those of the tenant's time zone."
)

USAGE_OPERATIONS: Final[dict[str, Sequence[Operation]]] = {
    "/api/usage": [
        Operation(
            method="get",
            summary="What was used",
            answer=UsageReport,
            text=TEXT,
            errors=(400, *MANAGE_ERRORS),
            query=(
                ("from", "string", "Unix seconds or ISO 8601; a day before `to` unless told."),
                ("to", "string", "Before that; now unless told. At most 366 days from `from`, by hour 31."),
                ("by", "string", "`model key member instance hour day`; `model` unless told."),
                ("format", "string", "`json` or `csv`."),
                ("limit", "integer", "Lines, those that cost most: 1 to 10,000; 1,000 unless told."),
            ),
        ),
    ],
}
