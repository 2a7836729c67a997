"""The description of `/api/insights`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from access.management.insights import InsightsReport
from access.operations import MANAGE_ERRORS, Operation

TEXT = (
    "Of the caller's tenant, for who may see its overview. It is read out of the journal within a minute or two, in "
    "whole hours; questions by the day (UTC), for who may read conversations. Days of `series` are those of the "
    "tenant's time zone."
)

INSIGHTS_OPERATIONS: Final[dict[str, Sequence[Operation]]] = {
    "/api/insights": [
        Operation(
            method="get",
            summary="What turns were about and what became of them",
            answer=InsightsReport,
            text=TEXT,
            errors=(400, *MANAGE_ERRORS),
            query=(
                ("from", "string", "Unix seconds or ISO 8601; a day before `to` unless told."),
                ("to", "string", "Before that; now unless told. At most 366 days from `from`, by hour 31."),
                ("by", "string", "`hour` or `day`: the steps of `series`; `day` unless told."),
                ("limit", "integer", "Lines of each list: 1 to 1,000; 20 unless told."),
            ),
        ),
    ],
}
