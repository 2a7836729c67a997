"""Every error the product answers with; protocols translate them once, in `access/errors.py`.

EngineError
├── InvalidRequest            the request itself is wrong
│   ├── PayloadTooLarge
│   ├── TenantRequired        whoever signs in has several tenants and named none
│   ├── OtpRequired           whoever signs in has a second factor and gave no code of it
│   ├── ContextTooLong        no reachable model has room for it
│   ├── NotSupported          a good request for something that is not there yet
│   ├── PreviousResponseNotFound  what it goes on from is not there for its caller
│   ├── IdempotencyMismatch   its key came with another request before
│   └── UpstreamRejected      the model's own service calls the request wrong
├── ContentBlocked            a sensitive-word list forbids the input
├── Unauthenticated           no credential, or none we accept
├── Forbidden                 a good credential, not enough for this
│   ├── IpNotAllowed
│   ├── OriginNotAllowed      the web page that asks is not one the tenant allows
│   ├── TenantSuspended
│   └── VisitorsOff           the tenant takes no visitors, or there is no such tenant
├── NotFound
│   ├── ModelNotFound
│   ├── SessionNotFound
│   ├── TurnNotFound
│   └── VersionNotFound      of a session: it never had it, or it is no longer kept
├── MethodNotAllowed
├── Conflict                  somebody else changed or holds it
│   ├── TurnCancelled         its own caller stopped it
│   │   └── DeadlineExceeded  by the deadline it had set
│   ├── SessionBusy           too many turns wait for this session
│   └── IdempotencyRunning    the first request with this key is not answered yet
├── RateLimited               ask again after `retry_after` seconds
│   └── BudgetExceeded
├── UpstreamError             the model's service failed
│   ├── UpstreamTimeout
│   └── UpstreamBusy          it asked us to wait: a pause, not a failure of the instance
└── Unavailable               a part of ours is away
    ├── TurnAborted           the worker that answered the turn is gone
    ├── AuditUnavailable      the journal cannot commit
    ├── StoreUnavailable      Valkey or the database cannot be reached
    ├── PluginUnavailable     a plugin that the tenant requires did not do its work
    └── Overloaded
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from engine.types import Instance, RateLimits


class EngineError(Exception):
    """`code` is stable and public, `message` is safe to show, `retryable` says whether the same call may succeed later.

    `retry_after` is in seconds, None when unknown. `param` names the offending field of the request where there is one.

    What an error is told on its way: `decision` by the router, when nobody is left for a turn: the record of whom it
    looked at. `turn_id` by the engine, when the turn it ended is on record. `limits` are those its turn counted
    against, as they stand. `language` is the tag of the language its turn is in, where the request says none.
    """

    code: ClassVar[str] = "internal_error"
    text: ClassVar[str] = "The request could not be served."
    retryable: ClassVar[bool] = False

    def __init__(
        self, message: str | None = None, *, param: str | None = None, retry_after: float | None = None
    ) -> None:
        self.message = message or self.text
        self.param = param
        self.retry_after = retry_after
        self.decision: dict[str, Any] | None = None
        self.turn_id: str | None = None
        self.limits: RateLimits | None = None
        self.language: str | None = None
        super().__init__(self.message)


class InvalidRequest(EngineError):
    code = "invalid_request"
    text = "The request is not valid."


class PayloadTooLarge(InvalidRequest):
    code = "payload_too_large"
    text = "The request is larger than allowed."


class TenantRequired(InvalidRequest):
    code = "tenant_required"
    text = "You belong to several tenants; say which."


class OtpRequired(InvalidRequest):
    code = "otp_required"
    text = "A code of your second factor is needed."


class ContextTooLong(InvalidRequest):
    """`window` is the largest that was to be had, `tokens` what the conversation needs, where they are known."""

    code = "context_length_exceeded"
    text = "The conversation is longer than the context window of the model."

    def __init__(
        self,
        message: str | None = None,
        *,
        param: str | None = None,
        window: int | None = None,
        tokens: int | None = None,
    ) -> None:
        super().__init__(message, param=param)
        self.window = window
        self.tokens = tokens


class NotSupported(InvalidRequest):
    code = "not_supported"
    text = "This is not supported."


class PreviousResponseNotFound(InvalidRequest):
    code = "previous_response_not_found"
    text = "The previous response was not found."


class IdempotencyMismatch(InvalidRequest):
    code = "idempotency_mismatch"
    text = "This idempotency key was used with another request."


class UpstreamRejected(InvalidRequest):
    code = "upstream_rejected"
    text = "The model's service does not accept this request."


class ContentBlocked(EngineError):
    code = "content_blocked"
    text = "The request contains content that is not allowed."


class Unauthenticated(EngineError):
    code = "unauthenticated"
    text = "A valid API key or token is required."


class Forbidden(EngineError):
    code = "forbidden"
    text = "This credential does not allow the request."


class IpNotAllowed(Forbidden):
    code = "ip_not_allowed"
    text = "Requests from this address are not allowed."


class OriginNotAllowed(Forbidden):
    code = "origin_not_allowed"
    text = "Requests from this web page are not allowed."


class TenantSuspended(Forbidden):
    code = "tenant_suspended"
    text = "This tenant is suspended."


class VisitorsOff(Forbidden):
    code = "visitors_off"
    text = "This chat takes no visitors."


class NotFound(EngineError):
    code = "not_found"
    text = "There is nothing at this address."


class ModelNotFound(NotFound):
    code = "model_not_found"
    text = "There is no such model."


class SessionNotFound(NotFound):
    code = "session_not_found"
    text = "There is no such session."


class TurnNotFound(NotFound):
    code = "turn_not_found"
    text = "There is no such turn."


class VersionNotFound(NotFound):
    code = "version_not_found"
    text = "This session has no such version, or it is no longer kept."


class MethodNotAllowed(EngineError):
    code = "method_not_allowed"
    text = "This method is not allowed here."


class Conflict(EngineError):
    code = "conflict"
    text = "The resource was changed meanwhile."


class TurnCancelled(Conflict):
    code = "cancelled"
    text = "The turn was cancelled."


class DeadlineExceeded(TurnCancelled):
    code = "deadline_exceeded"
    text = "The caller's own deadline has passed."


class SessionBusy(Conflict):
    """`version` is the session's now; 0: it has none yet."""

    code = "session_busy"
    text = "Too many turns wait for this session."
    retryable = True

    def __init__(self, version: int = 0, *, retry_after: float | None = 1.0) -> None:
        super().__init__(f"{self.text} It is at version {version}.", retry_after=retry_after)
        self.version = version


class IdempotencyRunning(Conflict):
    code = "idempotency_running"
    text = "The first request with this idempotency key is still being answered."
    retryable = True

    def __init__(
        self, message: str | None = None, *, retry_after: float | None = 1.0, running: str | None = None
    ) -> None:
        """`running`: the turn that answers it, which its caller may resume."""
        super().__init__(message, retry_after=retry_after)
        self.running = running


class RateLimited(EngineError):
    """`limit` says which: `requests`, `tokens`, `turns`, of a budget `day` or `month`, or `other`."""

    code = "rate_limited"
    text = "Too many requests."
    retryable = True
    limit: str = "other"


class BudgetExceeded(RateLimited):
    """`affords` says for which instances there is room yet, where a cheaper one may answer instead."""

    code = "budget_exceeded"
    text = "The budget is used up."
    retryable = False

    def __init__(
        self,
        message: str | None = None,
        *,
        param: str | None = None,
        retry_after: float | None = None,
        affords: Callable[[Instance], bool] | None = None,
    ) -> None:
        super().__init__(message, param=param, retry_after=retry_after)
        self.affords = affords


class UpstreamError(EngineError):
    code = "upstream_error"
    text = "The model's service failed."
    retryable = True


class UpstreamTimeout(UpstreamError):
    code = "upstream_timeout"
    text = "The model's service did not answer in time."


class UpstreamBusy(UpstreamError):
    code = "upstream_rate_limited"
    text = "The model's service asks to wait."


class Unavailable(EngineError):
    code = "unavailable"
    text = "The service is not available right now."
    retryable = True


class TurnAborted(Unavailable):
    code = "aborted"
    text = "The turn was cut off before its end."


class AuditUnavailable(Unavailable):
    code = "audit_unavailable"
    text = "The audit journal cannot record this request right now."


class StoreUnavailable(Unavailable):
    code = "store_unavailable"
    text = "A store of the service cannot be reached right now."


class PluginUnavailable(Unavailable):
    code = "plugin_unavailable"
    text = "A plugin that has to take part in this request did not do its work."


class Overloaded(Unavailable):
    """`full`, told by the router, are the places (`engine.places`) that somebody will leave: one may wait for those."""

    code = "overloaded"
    text = "The service is overloaded."
    full: Sequence[Any] = ()
