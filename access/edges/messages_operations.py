"""The description of the routes of the Messages format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from access.edges.messages_body import CountBody, MessagesBody
from access.operations import INTERVAL, ONCE, TURN_ERRORS, Operation
from engine.types import Json

TEXT: Final = (
    "Official SDKs work unchanged. The header `X-Session-Id` adds memory on the server. With `stream: true` the answer "
    "is server-sent events from `message_start` to `message_stop`."
)


class MessageAnswer(msgspec.Struct, kw_only=True):
    """`content` are blocks `text`, `thinking`, `redacted_thinking` and `tool_use`."""

    id: str
    type: str
    role: str
    model: str
    content: list[Json]
    stop_reason: str
    stop_sequence: str | None
    usage: Json


class CountAnswer(msgspec.Struct):
    input_tokens: int


MESSAGES_OPERATIONS: Final[dict[str, Sequence[Operation]]] = {
    "/v1/messages": [
        Operation(method="post", summary="Ask, in the Anthropic format", body=MessagesBody, answer=MessageAnswer,
                  errors=TURN_ERRORS, streams=True, headers=ONCE + INTERVAL, text=TEXT),
    ],
    "/v1/messages/count_tokens": [
        Operation(method="post", summary="How many tokens a request is", body=CountBody, answer=CountAnswer,
                  errors=(400, 401, 403, 404, 413), text="Nobody is asked, and nothing recorded."),
    ],
}  # fmt: skip
