"""When a failed model call may be tried on another instance."""

from __future__ import annotations

from engine.errors import UpstreamError

MAX_ATTEMPTS = 2
STORE_PAUSES = (0.2, 1.0, 3.0, 10.0, 30.0)  # seconds before a session is written to again


def may_retry(error: BaseException, attempts: int) -> bool:
    """Only failures of the model's service, only before anything was sent (the caller's business), at most once."""
    return isinstance(error, UpstreamError) and attempts < MAX_ATTEMPTS
