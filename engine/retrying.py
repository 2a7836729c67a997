"""When a failed model call may be tried on another instance."""

from __future__ import annotations

from engine.errors import UpstreamError

MAX_ATTEMPTS = 2


def may_retry(error: BaseException, attempts: int) -> bool:
    """Only failures of the model's service, only before anything was sent (the caller's business), at most once."""
    return isinstance(error, UpstreamError) and attempts < MAX_ATTEMPTS
