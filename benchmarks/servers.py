"""Compares ASGI servers under one small application: `python -m benchmarks.servers [--granian PATH_TO_BIN]`.

The server has core 0, the load core 1. `ours` is `clawdbot_site.serving` (uvicorn with limits, draining, supervisor).
CPU is that of the server's processes per request; trust ratios, not absolute figures, on a shared machine."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.load import Target, run

ROOT = Path(__file__).parents[1]
TICK = os.sysconf("SC_CLK_TCK")
BODY = b'{"model": "auto", "message": "' + b"x" * 300 + b'"}'
ANSWER = b'{"id": "1", "message": "' + b"y" * 570 + b'"}'
CHUNK = b'data: {"delta": {"content": "some words"}}\n\n'
CHUNKS = 32


async def app(scope, receive, send) -> None:
    """POST / answers 600 bytes; POST /stream 32 events at once; GET /slow 60 events over 3 s."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    if scope["path"] == "/":
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(ANSWER))]}
        )
        await send({"type": "http.response.body", "body": ANSWER})
        return
    count, pause = (60, 0.05) if scope["path"] == "/slow" else (CHUNKS, 0)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    for _ in range(count):
        await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
        await asyncio.sleep(pause)
    await send({"type": "http.response.body", "body": b""})


class Bare:
    """The application as `clawdbot_site.serving` wants it."""

    app = staticmethod(app)

    async def startup(self) -> None: ...

    async def shutdown(self) -> None: ...

    async def drain(self, *, replaced: bool = False) -> None: ...

    def retire(self) -> None: ...

    def watch_connections(self, number: Callable[[], int]) -> Callable[[str], None]:
        return lambda outcome: None

    def ready(self) -> bool:
        return True


def serve_ours(port: int) -> None:
    from clawdbot_site.serving.listening import bind  # noqa: PLC0415
    from clawdbot_site.serving.webserver import serve  # noqa: PLC0415

    serve(Bare, bind("127.0.0.1", port), workers=1)


def commands(port: int, granian: str | None) -> dict[str, list[str]]:
    module = "benchmarks.servers:app"
    uvicorn = [
        "-m",
        "uvicorn",
        module,
        "--port",
        str(port),
        "--no-access-log",
        "--log-level",
        "error",
        "--lifespan",
        "off",
    ]
    found = {
        "ours": [sys.executable, "-m", "benchmarks.servers", "--serve", str(port)],
        "uvicorn": [sys.executable, *uvicorn],
        "daphne": [sys.executable, "-m", "daphne", "-p", str(port), "-v", "0", module],
    }
    if granian:
        found["granian"] = [
            granian,
            "--interface",
            "asginl",
            "--port",
            str(port),
            "--no-ws",
            "--log-level",
            "error",
            module,
        ]
    return found


def tree(pid: int) -> list[int]:
    """The process and everything under it."""
    found = [pid]
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found += tree(int(child))
    return found


def cpu(pid: int) -> float:
    total = 0
    for one in tree(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def memory(pid: int) -> float:
    pages = sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in tree(pid))
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def wait(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.1)
    raise SystemExit("the server does not start")


def load(port: int, path: str, pid: int, connections: int) -> tuple[float, float, float]:
    """Requests a second, CPU microseconds a request, median latency in ms."""
    before = cpu(pid)
    result = asyncio.run(run(Target(port, path, {}, lambda number: BODY), connections=connections, seconds=5, warmup=0))
    used = cpu(pid) - before
    count = len(result.latencies)
    return result.rate, 1e6 * used / max(count, 1), 1000 * statistics.median(result.latencies)


def half_sent(port: int, seconds: float = 12) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nx-h")
        began = time.monotonic()
        try:
            while connection.recv(4096):
                pass
        except TimeoutError:
            return f"open after {seconds:.0f} s"
        return f"closed after {time.monotonic() - began:.1f} s"


def huge_header(port: int, fields: bytes) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n" + fields + b"\r\n\r\n")
        try:
            return (connection.recv(64).split() or [b"-", b"closed"])[1].decode()
        except OSError:
            return "closed"


def events_after_sigterm(process: subprocess.Popen[bytes], port: int) -> int:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        received = connection.recv(4096)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(OSError):
            while chunk := connection.recv(65536):
                received += chunk
    return received.count(b"data: ")


def measure(name: str, command: list[str], port: int) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(["taskset", "-c", "0", *command], cwd=ROOT, env=environment)
    try:
        wait(port)
        time.sleep(1)
        idle = memory(process.pid)
        plain, stream, alone = (
            load(port, *rest) for rest in (("/", process.pid, 64), ("/stream", process.pid, 64), ("/", process.pid, 1))
        )
        slow = half_sent(port)
        large, many = huge_header(port, b"x: " + b"a" * (1 << 20)), huge_header(port, b"\r\n".join([b"x: y"] * 5000))
        events = events_after_sigterm(process, port)
        figures = [
            f"{name:8}",
            f"{plain[0]:6.0f} req/s, {plain[1]:4.0f} us CPU",
            f"c1 {alone[2]:.2f} ms",
            f"{stream[0] * CHUNKS:7.0f} chunks/s, {stream[1]:5.0f} us a stream",
            f"{idle:4.0f} MiB",
            f"half-sent {slow}",
            f"1 MiB header {large}",
            f"5,000 fields {many}",
            f"{events}/60 events after SIGTERM",
        ]
        print(" | ".join(figures), flush=True)
    finally:
        process.terminate()
        process.wait(20)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--serve", type=int)
    parser.add_argument("--granian")
    parser.add_argument("--port", type=int, default=18400)
    options = parser.parse_args()
    if options.serve:
        serve_ours(options.serve)
        return
    os.sched_setaffinity(0, {1})
    for number, (name, command) in enumerate(commands(options.port, options.granian).items()):
        command = [part.replace(str(options.port), str(options.port + number)) for part in command]
        measure(name, command, options.port + number)


if __name__ == "__main__":
    main()
