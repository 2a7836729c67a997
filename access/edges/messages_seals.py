"""What a service must get back with a call of a tool, for clients that know only blocks: sealed in the data of a
`redacted_thinking` block before the call, which clients of the Messages format send back as it is."""

from __future__ import annotations

import base64
from binascii import Error
from typing import Final

import orjson

from access import bodies
from engine.errors import InvalidRequest
from engine.types import Json

MARK: Final = "clawdbot."


def seal(extra: Json) -> str:
    return MARK + base64.urlsafe_b64encode(orjson.dumps(extra)).decode("ascii")


def opened(data: str, at: str) -> Json | None:
    """What was sealed; None: this is a service's own data. Raises InvalidRequest: it was changed on its way."""
    if not data.startswith(MARK):
        return None
    try:
        return bodies.parse(base64.b64decode(data.removeprefix(MARK), altchars=b"-_", validate=True))
    except (InvalidRequest, Error, ValueError):
        raise InvalidRequest(f"{at}: is not what was answered before.", param=at) from None
