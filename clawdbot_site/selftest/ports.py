"""Ports for servers that are told theirs and bind it a while later, as a whole product does after its databases.

A port that the system hands out (`bind` to 0) is free to everybody again once it was looked at: whoever binds 0, or
only calls somebody, may be given it meanwhile. These lie below all that the system hands out (Linux: from 32,768), and
each is claimed until this process ends, so that self-tests, suites and their workers side by side never choose the
same."""

from __future__ import annotations

import random
import socket
import sys
from typing import Final

FIRST: Final = 10_240
LAST: Final = 32_767
TRIES: Final = 1_000

_claims: Final[list[socket.socket]] = []  # what is bound here is let go by the system, however this process ends


def free_port() -> int:
    """One of loopback. Raises RuntimeError."""
    for _ in range(TRIES):
        port = random.randint(FIRST, LAST)  # noqa: S311  # no secret
        if claimed(port):
            return port
    raise RuntimeError(f"no port is free between {FIRST} and {LAST}")


def claimed(port: int) -> bool:
    """Whether nobody has it, nor will be given it by this function: from now on it is this process's."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        if sys.platform == "linux":  # elsewhere there are no names without a file
            claim.bind(f"\0clawdbot-port-{port}")
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        claim.close()
        return False
    _claims.append(claim)
    return True
