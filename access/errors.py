"""The one table from an error of the engine to what a protocol says of it, and the bodies that carry it.

An error looks itself up by its class, then by its nearest ancestor in the table. A test holds `docs/errors.md` to it.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson
from django.core.exceptions import BadRequest, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from rest_framework import exceptions

from access import asgi, languages, rate_limits
from access.languages import ENGLISH
from access.secure_pages import BARE
from engine import errors
from engine.errors import EngineError
from engine.types import Json, RateLimits

log = logging.getLogger(__name__)

_INDEX = re.compile(r"\[([0-9]+)\]")  # a place in a list; Anthropic writes `messages.0.content`

Headers = list[tuple[bytes, bytes]]
TellLimits = Callable[[RateLimits | None], Headers]


class Translation(NamedTuple):
    """HTTP status, WebSocket close code, gRPC status name, and the `type` of OpenAI's error envelope."""

    status: int
    close: int
    grpc: str
    kind: str


TABLE: dict[type[EngineError], Translation] = {
    EngineError: Translation(500, 1011, "INTERNAL", "server_error"),
    errors.InvalidRequest: Translation(400, 4400, "INVALID_ARGUMENT", "invalid_request_error"),
    errors.PayloadTooLarge: Translation(413, 1009, "INVALID_ARGUMENT", "invalid_request_error"),
    errors.ContextTooLong: Translation(400, 4400, "INVALID_ARGUMENT", "invalid_request_error"),
    errors.NotSupported: Translation(400, 4400, "UNIMPLEMENTED", "invalid_request_error"),
    errors.PreviousResponseNotFound: Translation(400, 4400, "INVALID_ARGUMENT", "invalid_request_error"),
    errors.IdempotencyMismatch: Translation(422, 4400, "INVALID_ARGUMENT", "invalid_request_error"),
    errors.UpstreamRejected: Translation(400, 4400, "INVALID_ARGUMENT", "invalid_request_error"),
    errors.ContentBlocked: Translation(400, 4400, "INVALID_ARGUMENT", "invalid_request_error"),
    errors.Unauthenticated: Translation(401, 4401, "UNAUTHENTICATED", "authentication_error"),
    errors.Forbidden: Translation(403, 4403, "PERMISSION_DENIED", "permission_error"),
    errors.IpNotAllowed: Translation(403, 4403, "PERMISSION_DENIED", "permission_error"),
    errors.TenantSuspended: Translation(403, 4403, "PERMISSION_DENIED", "permission_error"),
    errors.OriginNotAllowed: Translation(403, 4403, "PERMISSION_DENIED", "permission_error"),
    errors.VisitorsOff: Translation(403, 4403, "PERMISSION_DENIED", "permission_error"),
    errors.NotFound: Translation(404, 4404, "NOT_FOUND", "invalid_request_error"),
    errors.MethodNotAllowed: Translation(405, 4400, "UNIMPLEMENTED", "invalid_request_error"),
    errors.Conflict: Translation(409, 4409, "ABORTED", "conflict_error"),
    errors.TurnCancelled: Translation(409, 4409, "CANCELLED", "conflict_error"),
    errors.DeadlineExceeded: Translation(408, 4409, "DEADLINE_EXCEEDED", "conflict_error"),
    errors.SessionBusy: Translation(409, 4409, "ABORTED", "conflict_error"),
    errors.IdempotencyRunning: Translation(409, 4409, "ABORTED", "conflict_error"),
    errors.RateLimited: Translation(429, 4429, "RESOURCE_EXHAUSTED", "rate_limit_error"),
    errors.BudgetExceeded: Translation(429, 4429, "RESOURCE_EXHAUSTED", "rate_limit_error"),
    errors.UpstreamError: Translation(502, 1011, "UNAVAILABLE", "server_error"),
    errors.UpstreamTimeout: Translation(504, 1011, "DEADLINE_EXCEEDED", "server_error"),
    errors.UpstreamBusy: Translation(429, 4429, "RESOURCE_EXHAUSTED", "rate_limit_error"),
    errors.Unavailable: Translation(503, 1013, "UNAVAILABLE", "server_error"),
}

# The `type` of Anthropic's error envelope, by the HTTP status.
ANTHROPIC_TYPES: dict[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    409: "invalid_request_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
}

DEFAULT_PAUSE = 1.0  # seconds; what Retry-After says where the error does not know better
PAUSE_STATUSES = frozenset({409, 429, 503})


def translation(error: EngineError | type[EngineError]) -> Translation:
    kind = error if isinstance(error, type) else type(error)
    return next(TABLE[base] for base in kind.__mro__ if base in TABLE)


def public(error: BaseException) -> EngineError:
    """The error as it may be shown. What is not ours is a mistake in the program: logged here, told as nothing more
    than `internal_error`."""
    if isinstance(error, EngineError):
        return error
    log.error("a request failed", exc_info=error)
    return EngineError()


def body(error: EngineError, request_id: str, language: str = ENGLISH) -> Json:
    """`{"error": {"code", "message", "request_id", "retryable"}}`, with `param` where a field is at fault, and
    `running`, the turn that answers a request which was sent again, where that is known.
    `language` is one of `access.languages.wanted`."""
    inner = _said(error, request_id, language)
    if error.param is not None:
        inner["param"] = error.param
    return {"error": inner}


def event(error: EngineError, request_id: str, language: str = ENGLISH) -> Json:
    """The `error` event of server-sent events and WebSocket, with `param` where a field is at fault, the `turn_id`
    of a turn that is on record, and `retry_after`, whole seconds, where it helps to wait."""
    said = _said(error, request_id, language)
    if error.param is not None:
        said["param"] = error.param
    if error.turn_id is not None:
        said["turn_id"] = error.turn_id
    if (pause := _pause(error)) is not None:
        said["retry_after"] = pause
    return said


def _said(error: EngineError, request_id: str, language: str) -> Json:
    message = languages.said(error, language)
    said: Json = {"code": error.code, "message": message, "request_id": request_id, "retryable": error.retryable}
    if isinstance(error, errors.IdempotencyRunning) and error.running is not None:
        said["running"] = error.running
    return said


def openai_body(error: EngineError, language: str = ENGLISH) -> Json:
    """OpenAI's envelope, with the code and the wording its clients recognise, and `retryable`, which they pass on. The
    wording they look for is English whatever the language."""
    code, message = error.code, languages.said(error, language)
    if isinstance(error, errors.ContentBlocked):
        code = "content_filter"
    elif isinstance(error, errors.ContextTooLong):
        message = _overflow(error)
    return {
        "error": {
            "message": message,
            "type": translation(error).kind,
            "param": error.param,
            "code": code,
            "retryable": error.retryable,
        }
    }


def _overflow(error: errors.ContextTooLong) -> str:
    """As OpenAI words it, whoever found it out: clients know it by these words."""
    if error.message.startswith("This model's maximum context length is "):
        return error.message
    if error.window is None:
        return f"This model's maximum context length is exceeded. {error.message}"
    size = "are longer" if error.tokens is None else f"resulted in {error.tokens} tokens"
    return (
        f"This model's maximum context length is {error.window} tokens. However, your messages {size}. "
        "Please reduce the length of the messages."
    )


def anthropic_body(error: EngineError, request_id: str, language: str = ENGLISH) -> Json:
    """Anthropic's envelope, with our `code` and `retryable`, and `param` where a field is at fault. The wording that
    its clients look for when a conversation is too long is English whatever the language."""
    message = languages.said(error, language)
    if isinstance(error, errors.ContextTooLong):
        message = _too_long(error)
    inner: Json = {
        "type": ANTHROPIC_TYPES[translation(error).status],
        "message": message,
        "code": error.code,
        "retryable": error.retryable,
    }
    if error.param is not None:
        inner["param"] = _INDEX.sub(r".\1", error.param)
        inner["message"] = message.replace(error.param, inner["param"])
    return {"type": "error", "error": inner, "request_id": request_id}


def _too_long(error: errors.ContextTooLong) -> str:
    """As Anthropic words it, whoever found it out."""
    if error.window is not None and error.tokens is not None:
        return f"prompt is too long: {error.tokens} tokens > {error.window} maximum"
    return f"prompt is too long: {error.message.removeprefix('prompt is too long: ')}"


def headers(error: EngineError, limits: TellLimits = rate_limits.openai) -> list[tuple[str, str]]:
    """The headers that belong to the error's status: Retry-After in whole seconds, WWW-Authenticate. The turn it ended,
    where that is on record, and the limits it counted against, as answers name them."""
    status = translation(error).status
    found = []
    if (pause := _pause(error)) is not None:
        found.append(("Retry-After", str(pause)))
    if status == 401:
        found.append(("WWW-Authenticate", 'Bearer realm="clawdbot"'))
    if error.turn_id is not None:
        found.append(("X-Clawdbot-Decision", error.turn_id))
    found += [(name.decode(), value.decode()) for name, value in limits(error.limits)]
    return found


def _pause(error: EngineError) -> int | None:
    """Whole seconds after which it may be tried again; None: waiting does not help, or nobody knows."""
    if translation(error).status not in PAUSE_STATUSES or not (error.retryable or error.retry_after is not None):
        return None
    return max(1, math.ceil(error.retry_after if error.retry_after is not None else DEFAULT_PAUSE))


def raw_headers(error: EngineError, limits: TellLimits = rate_limits.openai) -> Headers:
    """The same for a bare ASGI answer."""
    return [(name.lower().encode(), value.encode()) for name, value in headers(error, limits)]


def response(error: EngineError, request_id: str, language: str = ENGLISH) -> HttpResponse:
    """The same as a Django response."""
    return HttpResponse(
        orjson.dumps(body(error, request_id, language)),
        status=translation(error).status,
        content_type="application/json",
        headers=dict(headers(error)),
    )


async def refuse(send: asgi.Send, error: EngineError, scope: asgi.Scope, more: Headers) -> None:
    """The same as a whole bare answer, with `more` headers."""
    named = dict(scope["headers"])
    number, language = asgi.request_id(named), languages.wanted(None, named.get(b"accept-language"))
    said = [(b"x-request-id", number.encode("ascii")), *raw_headers(error), *more]
    await asgi.respond(send, translation(error).status, orjson.dumps(body(error, number, language)), said)


async def deny(send: asgi.Send, error: EngineError, scope: asgi.Scope) -> None:
    """The same in place of a WebSocket's handshake (ASGI's denial response)."""
    named = dict(scope["headers"])
    number, language = asgi.request_id(named), languages.wanted(None, named.get(b"accept-language"))
    said = [
        (b"content-type", b"application/json"),
        (b"x-request-id", number.encode("ascii")),
        *raw_headers(error),
        *BARE,
    ]
    status = translation(error).status
    await send({"type": "websocket.http.response.start", "status": status, "headers": said})
    await send({"type": "websocket.http.response.body", "body": orjson.dumps(body(error, number, language))})


def numbered(error: EngineError, request: HttpRequest | None) -> HttpResponse:
    """The same for a request of Django's own handlers: what has no number yet gets one, made or taken from the caller.
    A lean request has its own, and its handler says it."""
    language = getattr(request, "language", None)
    given = {b"x-request-id": _header(request, "X-Request-Id")}
    number = getattr(request, "request_id", None) or asgi.request_id(given)
    if language is not None:
        return response(error, number, language)
    answer = response(error, number, languages.wanted(None, _header(request, "Accept-Language")))
    answer["X-Request-Id"] = number
    return answer


def _header(request: HttpRequest | None, name: str) -> bytes:
    return request.headers.get(name, "").encode("latin-1", "replace") if request is not None else b""


def exception_handler(error: Exception, context: dict[str, Any]) -> HttpResponse:
    """DRF's EXCEPTION_HANDLER: every error of a view in the one shape."""
    request = context.get("request")
    answer = numbered(public(_from_framework(error)), getattr(request, "_request", request))
    if isinstance(error, exceptions.MethodNotAllowed) and (view := context.get("view")) is not None:
        answer["Allow"] = ", ".join(view.allowed_methods)
    return answer


def _from_framework(error: Exception) -> Exception:
    """What Django and DRF raise of their own, in our words."""
    match error:
        case RequestDataTooBig():
            return errors.PayloadTooLarge()
        case SuspiciousOperation() | BadRequest() | MultiPartParserError() | UnreadablePostError():
            return errors.InvalidRequest()
        case Http404() | exceptions.NotFound():
            return errors.NotFound()
        case exceptions.MethodNotAllowed():
            return errors.MethodNotAllowed()
        case exceptions.AuthenticationFailed() | exceptions.NotAuthenticated():
            return errors.Unauthenticated()
        case exceptions.PermissionDenied() | PermissionDenied():
            return errors.Forbidden()
        case exceptions.Throttled():
            return errors.RateLimited(retry_after=getattr(error, "wait", None))
        case exceptions.ValidationError():
            return _invalid(error)
        case exceptions.APIException() if error.status_code < 500:
            return errors.InvalidRequest(str(error.detail))
    return error


def _invalid(error: exceptions.ValidationError) -> errors.InvalidRequest:
    """The first complaint of a serializer, with its field."""
    detail: Any = error.detail
    param: list[str] = []
    while isinstance(detail, dict | list) and detail:
        if isinstance(detail, dict):
            key, detail = next(iter(detail.items()))
            if key != "non_field_errors":
                param.append(str(key))
        else:
            detail = detail[0]
    return errors.InvalidRequest(str(detail), param=".".join(param) or None)
