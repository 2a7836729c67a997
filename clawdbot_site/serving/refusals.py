"""What is refused before it is a request: by the HTTP server itself, in the product's one error shape."""

from __future__ import annotations

import msgspec


class Refusal(msgspec.Struct, frozen=True):
    """What is refused before it is a request, so without a number of its own."""

    status: int
    code: str
    message: str
    retryable: bool = False

    def body(self) -> bytes:
        """The product's one error shape."""
        inner = {"code": self.code, "message": self.message, "request_id": None, "retryable": self.retryable}
        return msgspec.json.encode({"error": inner})


MALFORMED = Refusal(400, "invalid_request", "The request is not valid HTTP.")
HEADERS_TOO_LARGE = Refusal(431, "headers_too_large", "The request's header is too large or has too many fields.")
CROWDED = Refusal(503, "overloaded", "The server has no place for another connection.", retryable=True)
TIMEOUT = Refusal(408, "request_timeout", "The request was not sent in time.", retryable=True)
