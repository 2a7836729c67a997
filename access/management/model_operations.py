"""The description of `/api/models` and `/api/adapters`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from access.management.instance_fields import AdapterPage, InstanceAnswer, InstanceBody, InstancePage, InstancePatch
from access.management.instance_trials import TrialAnswer, TrialBody
from access.management.paging import SEARCH_QUERY
from access.operations import CHANGE_ERRORS, LIST_ERRORS, MANAGE_ERRORS, ONE_ERRORS, TURN_ERRORS, Operation

MODEL_TEXT: Final = (
    "Live in every worker within a second. The key at the provider is kept encrypted and never shown; with another "
    "host in `endpoint` it has to be given again."
)

MODEL_OPERATIONS: Final[dict[str, Sequence[Operation]]] = {
    "/api/models": [
        Operation(method="get", summary="The tenant's models, and those of the platform it can use",
                  answer=InstancePage, errors=LIST_ERRORS,
                  query=(*SEARCH_QUERY, ("scope", "string", "`tenant platform`."))),
        Operation(method="post", summary="Make a model of the tenant's own", body=InstanceBody, answer=InstanceAnswer,
                  status=201, text=MODEL_TEXT, errors=CHANGE_ERRORS),
    ],
    "/api/models/{instance_id}": [
        Operation(method="get", summary="A model", answer=InstanceAnswer, errors=ONE_ERRORS),
        Operation(method="put", summary="Put another in its place", body=InstanceBody, answer=InstanceAnswer,
                  text=MODEL_TEXT, errors=(404, *CHANGE_ERRORS)),
        Operation(method="patch", summary="Change a model", body=InstancePatch, answer=InstanceAnswer, text=MODEL_TEXT,
                  errors=(404, *CHANGE_ERRORS)),
        Operation(method="delete", summary="Delete a model", status=204, errors=ONE_ERRORS),
    ],
    "/api/models/{instance_id}/test": [
        Operation(method="post", summary="Ask this very model", body=TrialBody, answer=TrialAnswer, errors=TURN_ERRORS,
                  text="A turn of the caller's like every other: it counts, costs and is on record."),
    ],
    "/api/adapters": [
        Operation(method="get", summary="The wire formats a model can speak", answer=AdapterPage, errors=MANAGE_ERRORS),
    ],
}  # fmt: skip
