"""What goes wrong.

ClawdbotError      the service says no; `code` is stable
└── Disconnected   the connection broke, and it could not be had again"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ClawdbotError(Exception):
    """`status` is HTTP's where there is one, `retry_after` in seconds, `turn_id` that of a turn on record."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int | None = None,
        request_id: str | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
        param: str | None = None,
        turn_id: str | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.request_id = request_id
        self.retryable = retryable
        self.retry_after = retry_after
        self.param = param
        self.turn_id = turn_id


class Disconnected(ClawdbotError):
    def __init__(self, message: str) -> None:
        super().__init__("disconnected", message, retryable=True)


def told(body: Mapping[str, Any]) -> ClawdbotError:
    """Of an `error` event."""
    return ClawdbotError(
        str(body.get("code", "internal_error")),
        str(body.get("message", "")),
        request_id=body.get("request_id"),
        retryable=bool(body.get("retryable")),
        param=body.get("param"),
        turn_id=body.get("turn_id"),
    )


def answered(status: int, body: object, headers: Mapping[str, str]) -> ClawdbotError:
    """Of an HTTP answer that is none of ours to 2xx."""
    inner = body.get("error") if isinstance(body, dict) else None
    error = told(inner) if isinstance(inner, dict) else ClawdbotError(f"http_{status}", "The answer has no error body.")
    error.status = status
    error.request_id = error.request_id or headers.get("x-request-id")
    error.turn_id = headers.get("x-clawdbot-decision")
    pause = headers.get("retry-after", "")
    error.retry_after = float(pause) if pause.isdigit() else None
    return error
