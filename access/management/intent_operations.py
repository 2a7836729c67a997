"""The description of `/api/intents`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from access.management.intents import (
    ClassifyAnswer,
    ClassifyBody,
    IntentAnswer,
    IntentBody,
    IntentPage,
    IntentPatch,
    IntentSettingsAnswer,
    IntentSettingsPatch,
    TrainingAnswer,
)
from access.operations import MANAGE_ERRORS, Operation

INTENT_TEXT = (
    "Learnt within seconds and then live in every worker. At most 500 intents a tenant, 2,000 examples an intent and "
    "50,000 together."
)
CLASSIFY_TEXT = "By the tenant's own intents. 409: none are defined, or they have not been learnt yet."
CHANGES = (400, 404, *MANAGE_ERRORS)
READS = (404, *MANAGE_ERRORS)

INTENT_OPERATIONS: Final[dict[str, Sequence[Operation]]] = {
    "/api/intents": [
        Operation(method="get", summary="The tenant's intents", answer=IntentPage, errors=MANAGE_ERRORS),
        Operation(method="post", summary="Define an intent", text=INTENT_TEXT, body=IntentBody, answer=IntentAnswer,
                  status=201, errors=(400, *MANAGE_ERRORS)),
    ],
    "/api/intents/settings": [
        Operation(method="get", summary="When a text is none of the intents", answer=IntentSettingsAnswer,
                  errors=MANAGE_ERRORS),
        Operation(method="patch", summary="Change that", body=IntentSettingsPatch, answer=IntentSettingsAnswer,
                  errors=(400, *MANAGE_ERRORS), text="What is absent stays."),
    ],
    "/api/intents/training": [
        Operation(method="get", summary="How well the intents were learnt", answer=TrainingAnswer,
                  errors=MANAGE_ERRORS),
        Operation(method="post", summary="Learn them again", answer=TrainingAnswer, status=202, errors=MANAGE_ERRORS,
                  text="They are after every change; this is for when that failed."),
    ],
    "/api/intents/classify": [
        Operation(method="post", summary="What does somebody want?", body=ClassifyBody, answer=ClassifyAnswer,
                  errors=(400, 401, 403, 409, 429), text=CLASSIFY_TEXT),
    ],
    "/api/intents/{intent_id}": [
        Operation(method="get", summary="An intent", answer=IntentAnswer, errors=READS),
        Operation(method="put", summary="Put another intent in its place", body=IntentBody, answer=IntentAnswer,
                  errors=CHANGES, text="What is left out gets its default."),
        Operation(method="patch", summary="Change an intent", body=IntentPatch, answer=IntentAnswer, errors=CHANGES,
                  text="What is absent stays."),
        Operation(method="delete", summary="Delete an intent", status=204, errors=READS),
    ],
}  # fmt: skip
