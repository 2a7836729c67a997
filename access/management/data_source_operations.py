"""The description of `/api/data-sources`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from access.management.data_sources import (
    DataSourceAnswer,
    DataSourceBody,
    DataSourcePage,
    DataSourcePatch,
    LookAnswer,
)
from access.operations import CHANGE_ERRORS, LIST_ERRORS, ONE_ERRORS, Operation

TEXT: Final = "Live in every worker within a second. The address is kept encrypted and never shown."

DATA_SOURCE_OPERATIONS: Final[dict[str, Sequence[Operation]]] = {
    "/api/data-sources": [
        Operation(method="get", summary="The tenant's databases", answer=DataSourcePage, errors=LIST_ERRORS),
        Operation(method="post", summary="Register a database", body=DataSourceBody, answer=DataSourceAnswer,
                  status=201, text=TEXT, errors=CHANGE_ERRORS),
    ],
    "/api/data-sources/{source_id}": [
        Operation(method="get", summary="A database", answer=DataSourceAnswer, errors=ONE_ERRORS),
        Operation(method="patch", summary="Change a database", body=DataSourcePatch, answer=DataSourceAnswer,
                  text=TEXT, errors=(404, *CHANGE_ERRORS)),
        Operation(method="delete", summary="Forget a database", status=204, errors=ONE_ERRORS),
    ],
    "/api/data-sources/{source_id}/look": [
        Operation(method="post", summary="Connect, and list its tables and columns", answer=LookAnswer,
                  text="409 where it cannot be reached or read.", errors=(*ONE_ERRORS, 409)),
    ],
}  # fmt: skip
