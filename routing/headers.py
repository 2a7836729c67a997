"""Which headers of a request routing may read and keep. Importable without Django being set up."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

HEADER: Final = "header."  # what a condition writes before a name
LONGEST_NAME: Final = 64  # characters; a longer one is not kept, nor is one
LONGEST_VALUE: Final = 64  # with a longer value, unless a rule reads it

_NAME: Final = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\Z")
# Besides names that say so: the sub-protocols of a WebSocket handshake hold its token.
_CREDENTIAL: Final = re.compile(
    r"authoriz|authentic|cookie|token|secret|passw|passphrase|passcode|credential|bearer|signature|jwt|oauth"
    r"|(?:api|auth|access|subscription)[_-]?key|sec-websocket-protocol"
    r"|(?:^|[._-])(?:auth[nz]?|pass|pwd|t?otp|mfa|pin|sid|sso|saml|oidc|certs?|sig|hmac|nonce)(?:$|[._-])"
)
# Of clients, proxies and ourselves: different with every request, or about people; and what might be a credential.
_NOISE: Final = re.compile(
    r"(?:^|[._-])(?:stainless|forwarded|envoy|amzn?|b3|datadog|newrelic|goog|google|trace(?:id|parent|state)?|tracing"
    r"|span(?:id)?|correlation(?:id)?|e?mail|phone|(?:request|session)-?id)(?:$|[._-])"
    r"|(?:[._-](?:ip|key)|session|csrf|xsrf)\Z"
)
_OPAQUE: Final = re.compile(r"[A-Za-z0-9+/_=-]{24}")


def is_name(name: str) -> bool:
    """Whether a header can have this name, in lower case, as far as conditions can write it."""
    return _NAME.match(name) is not None


def is_credential(name: str) -> bool:
    """Whether a header of this name, in lower case, is made to prove who somebody is: decision records are read by
    more people than may hold that."""
    return _CREDENTIAL.search(name) is not None


@lru_cache(maxsize=1024)
def kept_name(raw: bytes) -> str:
    """The feature under which a decision record keeps a header no rule asks for, such as `header.x-team`; empty: it
    does not."""
    name = raw.decode("latin-1").lower()
    if not name.startswith("x-") or len(name) > LONGEST_NAME or not is_name(name):
        return ""
    return "" if is_credential(name) or _NOISE.search(name) else HEADER + name


def is_plain(value: str) -> bool:
    """Whether the value of a header no rule asks for may be kept: it is short and has nothing in it that looks like a
    key, a token or an id, whatever its header is called."""
    return len(value) <= LONGEST_VALUE and _OPAQUE.search(value) is None
