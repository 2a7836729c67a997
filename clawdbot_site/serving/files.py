"""How many files a process may have open. Every connection is one."""

from __future__ import annotations

import contextlib
import resource


def raise_limit() -> int:
    """As far as we may: the usual soft limit of 1,024 is kept only for programs that still call select(). What it is
    now."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
