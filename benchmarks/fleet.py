"""Gateways side by side on one machine, each on a port of its own: `python -m benchmarks.fleet web:8001 grpc:9001 …`.

Each is forked from one process that has imported the product, starts again when it ends, and is called `web 8001` by
`ps`. `Fleet` runs this program and restarts its gateways."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from clawdbot_site.selftest.instance import children, name
from clawdbot_site.serving.orphans import die_with_parent

ROOT = Path(__file__).resolve().parents[1]
SLOW = 120.0  # seconds: other work may be on the machine


class Fleet:
    """`gateways` are `web:PORT` and `grpc:PORT`; `environment` is the product's."""

    def __init__(self, environment: Mapping[str, str], *gateways: str, log: Path) -> None:
        self._environment = dict(environment)
        self._gateways = gateways
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.fleet", *self._gateways],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=functools.partial(die_with_parent, os.getpid()),
            )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(SLOW)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def pid(self, gateway: str) -> int:
        """0: none right now."""
        assert self._process is not None
        names = {name(child): child for child in children(self._process.pid)}
        return names.get(gateway.replace(":", " "), 0)

    async def renew(self, gateway: str) -> None:
        """Its workers are others. Raises TimeoutError."""
        supervisor = self.pid(gateway)
        before = set(children(supervisor))
        os.kill(supervisor, signal.SIGHUP)
        await until(lambda: before.isdisjoint(children(supervisor)), f"{gateway} has replaced its workers")

    async def restart(self, gateway: str, ready: Callable[[], bool]) -> None:
        """Until it is ready again; `ready` is what the balancer thinks of it. Raises TimeoutError."""
        before = self.pid(gateway)
        os.kill(before, signal.SIGTERM)
        await until(lambda: not ready(), f"{gateway} is out of the balancer")
        await until(lambda: self.pid(gateway) not in (0, before), f"{gateway} has drained and started again")
        await until(ready, f"{gateway} is ready again")


async def until(true: Callable[[], object], what: str, seconds: float = SLOW) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}")
        await asyncio.sleep(0.02)


def main(gateways: list[str]) -> None:
    import django

    django.setup()
    from clawdbot_site.serving import launcher
    from clawdbot_site.serving.forking import ForkedChild
    from clawdbot_site.serving.processes import Family

    family = Family(lambda line: print(line, flush=True))
    try:
        with launcher.Signals() as signals:
            launcher.preload()
            for gateway in gateways:
                kind, _, port = gateway.partition(":")
                run = functools.partial(serve, kind, int(port))
                family.start(ForkedChild(f"{kind} {port}", run, stop_time=SLOW, drains=True))
            while True:
                signals.check()
                time.sleep(0.05)
                family.tend()
    except launcher.Stop:
        pass
    finally:
        family.stop()


def serve(kind: str, port: int) -> int:
    from django.conf import settings

    from clawdbot_site.serving.launcher import _manage

    if kind == "grpc":
        return _manage("grpcserver", port=port)
    settings.PORT = port
    return _manage("webserver")


if __name__ == "__main__":
    main(sys.argv[1:])
