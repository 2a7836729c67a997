"""Which process holds how many established connections of a local port, from outside (Linux)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

ESTABLISHED = "01"


def held(pids: Iterable[int], port: int) -> dict[int, int]:
    """Process id to the number of connections clients have with it on `port`."""
    wanted = _inodes(port)
    return {pid: len(_sockets(pid) & wanted) for pid in pids}


def _inodes(port: int) -> set[str]:
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port and fields[3] == ESTABLISHED:
                found.add(fields[9])
    return found


def _sockets(pid: int) -> set[str]:
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            kind, _, inode = os.readlink(entry).partition(":")
            if kind == "socket":
                found.add(inode.strip("[]"))
    return found
