"""The description of the routes of the Responses API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from access.edges.responses_requests import ResponsesBody
from access.operations import INTERVAL, ONCE, TURN_ERRORS, Operation
from engine.types import Json

TEXT: Final = (
    "Official SDKs work unchanged. Kept unless `store` is false; `previous_response_id` goes on from any kept one. "
    "With `stream: true` the answer is server-sent events from `response.created` to `response.completed`."
)
READ_ERRORS: Final = (400, 401, 403, 404, 429, 503)
PAGE: Final = (
    ("limit", "integer", "1 to 100; 20 unless told."),
    ("order", "string", "`desc`, the newest first, or `asc`."),
    ("after", "string", "`last_id` of the page before."),
)


class ResponseAnswer(msgspec.Struct, kw_only=True):
    """OpenAI's object `response`, of which these are a part. `output` are items `reasoning`, `message` and
    `function_call`."""

    id: str
    object: str
    created_at: int
    status: str
    model: str
    output: list[Json]
    usage: Json | None
    error: Json | None
    incomplete_details: Json | None
    previous_response_id: str | None


class InputTokensAnswer(msgspec.Struct):
    object: str
    input_tokens: int


class DeletedResponse(msgspec.Struct):
    id: str
    object: str
    deleted: bool


class ItemList(msgspec.Struct):
    object: str
    data: list[Json]
    first_id: str | None
    last_id: str | None
    has_more: bool


RESPONSES_OPERATIONS: Final[dict[str, Sequence[Operation]]] = {
    "/v1/responses": [
        Operation(method="post", summary="Ask, in the format of the Responses API", body=ResponsesBody,
                  answer=ResponseAnswer, errors=TURN_ERRORS, streams=True, headers=ONCE + INTERVAL, text=TEXT),
    ],
    "/v1/responses/input_tokens": [
        Operation(method="post", summary="How many tokens a request is", body=ResponsesBody, answer=InputTokensAnswer,
                  errors=(*READ_ERRORS, 413), text="No model is asked, and nothing recorded."),
    ],
    "/v1/responses/{response_id}": [
        Operation(method="get", summary="A kept response", answer=ResponseAnswer, errors=READ_ERRORS),
        Operation(method="delete", summary="Delete one", answer=DeletedResponse, errors=READ_ERRORS,
                  text="It is found no more and nothing goes on from it; what went on before stays."),
    ],
    "/v1/responses/{response_id}/input_items": [
        Operation(method="get", summary="What it is an answer to", answer=ItemList, errors=READ_ERRORS, query=PAGE),
    ],
    "/v1/responses/{response_id}/cancel": [
        Operation(method="post", summary="Stop one that is running", answer=ResponseAnswer, errors=READ_ERRORS),
    ],
}  # fmt: skip
