"""How a route is described: `access.openapi` makes OpenAPI of it."""

from __future__ import annotations

from typing import Final

import msgspec

MANAGE_ERRORS: Final = (401, 403, 503)
LIST_ERRORS: Final = (400, *MANAGE_ERRORS)
ONE_ERRORS: Final = (404, *MANAGE_ERRORS)
CHANGE_ERRORS: Final = (400, 409, *MANAGE_ERRORS)
TURN_ERRORS: Final = (400, 401, 403, 404, 409, 413, 422, 429, 502, 503, 504)
ONCE: Final = (
    (
        "Idempotency-Key",
        "1 to 255 printable ASCII characters of the caller's choice. The same request sent again with it within 24 "
        "hours gets the same answer, with `Idempotent-Replayed: true`, and no model is asked.",
    ),
)
INTERVAL: Final = (
    (
        "X-Stream-Interval-Ms",
        "0 to 50: how many milliseconds the events of a stream are apart at least. What the model says meanwhile "
        "leaves as one event; the first piece leaves at once. In place of what the tenant has set.",
    ),
)


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one route. `answer` None: no body; dict: any object. `queued` is what comes with 202 instead where
    the work is too much to wait for. `takes` and `gives` are the content types of
    plain text, the latter beside an `answer` where there is one. `open`: no credential is needed."""

    method: str
    summary: str
    text: str = ""
    body: type | None = None
    answer: type | None = None
    queued: type | None = None
    status: int = 200
    errors: tuple[int, ...] = (400, 401, 403, 429)
    query: tuple[tuple[str, str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    streams: bool = False
    takes: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()
    open: bool = False
