"""Cuts a connection that takes too long or sends too much, from outside: a driver that waits for a server, or reads one
endless value, knows no limit of its own."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

MOST_RECEIVED: Final = 8 * 1024 * 1024  # bytes of one query
LOOK: Final = 0.05  # seconds
_RECEIVED: Final = 128  # offset of tcpi_bytes_received in struct tcp_info of linux/tcp.h, since 4.1


@contextmanager
def cut(descriptor: int, seconds: float, most: int | None = None) -> Iterator[None]:
    """While the block runs, at most `seconds` and `most` bytes (None: `MOST_RECEIVED`); then the other end is gone."""
    line = socket.socket(fileno=os.dup(descriptor))
    over = threading.Event()
    thread = threading.Thread(
        target=_watch,
        args=(line, over, seconds, MOST_RECEIVED if most is None else most),
        name="database-cut",
        daemon=True,
    )
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        line.close()


def _watch(line: socket.socket, over: threading.Event, seconds: float, most: int) -> None:
    until, before = time.monotonic() + seconds, _received(line)
    while not over.wait(LOOK):
        if time.monotonic() > until or _received(line) - before > most:
            try:
                line.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            return


def _received(line: socket.socket) -> int:
    """0 where the system does not count."""
    try:
        told = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RECEIVED + 8)
        return int(struct.unpack_from("=Q", told, _RECEIVED)[0])
    except (AttributeError, OSError, struct.error):
        return 0
