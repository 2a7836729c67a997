"""No process outlives the one that started it, even when that one is killed with -9."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(parent: int, with_signal: int = signal.SIGTERM) -> None:
    """Call in the child: the kernel sends `with_signal` when the process `parent` ends. Linux only."""
    if _LIBC is None:
        return
    _LIBC.prctl(PR_SET_PDEATHSIG, with_signal, 0, 0, 0)
    if os.getppid() != parent:  # it went between the fork and the call above
        os.kill(os.getpid(), with_signal)
