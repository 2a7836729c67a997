"""How many files a process may have open. Every connection is one."""

from __future__ import annotations

import contextlib
import logging
import resource
from typing import Final

FEW: Final = 4096  # connections: that there are less than were asked for is worth a warning


def raise_limit() -> int:
    """As far as we may: the usual soft limit of 1,024 is kept only for programs that still call select(). What it is
    now."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def for_connections(setting: str, wanted: int, log: logging.Logger, others: int | None = None) -> int:
    """So many connections as are asked for, while half of the files this process may open, or `others` where that is
    less, are left for its calls to models and stores."""
    limit = raise_limit()
    if limit < 0:  # as many files as it likes
        return wanted
    most = max(limit // 2, limit - others) if others is not None else limit // 2
    if wanted > most:
        level = logging.WARNING if most < FEW else logging.INFO
        log.log(level, "%s=%s is %s: only %s files may be open (ulimit -n)", setting, wanted, most, limit)
    return min(wanted, most)
