"""What only the kernel can do for a process: end it with the one that started it, even one killed with -9; name it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(parent: int, with_signal: int = signal.SIGTERM) -> None:
    """Call in the child: the kernel sends `with_signal` when the process `parent` ends. Linux only."""
    if _LIBC is None:
        return
    _LIBC.prctl(PR_SET_PDEATHSIG, with_signal, 0, 0, 0)
    if os.getppid() != parent:  # it went between the fork and the call above
        os.kill(os.getpid(), with_signal)


def call_me(name: str) -> None:
    """What `ps -o comm` and `top` call this process: the first 15 bytes. Linux only."""
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_NAME, name.encode()[:15], 0, 0, 0)
