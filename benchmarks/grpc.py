"""Unary and streamed calls over gRPC with everything on: `python -m benchmarks.grpc [--seconds N] [--rounds N]`.

As `benchmarks.gateway`: the server has the first core; load, mock upstream and Valkey share the last, every request
differs, and the mock must have been asked exactly as often as answers came. CPU is the server's, all threads. The load
writes the frames of HTTP/2 by itself (`benchmarks.http2`): the library's own client costs as much a call as the server
does, and a server that is not kept busy commits its journal for one call at a time. `POST /api/chat` of a web worker is
measured in turn with it: on a machine that others use the ratio of two figures says more than each."""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import orjson
import uvloop

from access.edges.grpc.generated import chat_pb2 as pb
from benchmarks import http2, workload
from benchmarks.callers import Ask, saturated
from benchmarks.environment import READY_TIME, Environment, _end
from benchmarks.gateway import CHUNKS, HEAD, Row, Server
from benchmarks.http2 import Connection
from benchmarks.processes import GATEWAY_CORE, LOAD_CORE, pin
from clawdbot_site.selftest.ports import free_port
from clawdbot_site.serving.processes import Child

CALLERS = 48
CONVERSATIONS = 256  # each may send 20 frames a second
CONNECTIONS = 4
METHODS = ("Chat", "StreamChat", "Converse")
GOALS = {"unary calls": 1_500, "Converse turns": 3_000}  # a second and core


class GrpcEnvironment(Environment):
    """The gRPC server beside the web server, on its core."""

    def _start_web(self, environment: dict[str, str]) -> None:
        super()._start_web(environment)
        self.web_worker = self.worker
        self.web_port, self.port = self.port, free_port()
        reader, writer = os.pipe()
        command = [sys.executable, "manage.py", "grpcserver", "--port", str(self.port), "--ready-fd", str(writer)]
        self.web = Child("gRPC server", command, environment=environment, pass_fds=(writer,))
        self._children.callback(_end, self.web)
        self.web.start()
        os.close(writer)
        assert self.web.pid is not None
        pin(self.web.pid, GATEWAY_CORE)
        os.set_blocking(reader, False)
        deadline = time.monotonic() + READY_TIME
        while not _said(reader):
            if self.web.exit_code is not None or time.monotonic() > deadline:
                raise RuntimeError("the gRPC server did not start; the reason is above")
            time.sleep(0.1)
        os.close(reader)
        pin(self.web.pid, GATEWAY_CORE)

    @property
    def worker(self) -> int:
        assert self.web.pid is not None
        return self.web.pid


def _said(reader: int) -> bool:
    try:
        return os.read(reader, 1) == b"r"
    except BlockingIOError:
        return False


class Talker:
    """One caller's side: a session is given with the first turn, five more name it."""

    def __init__(self, connection: Connection, metadata: dict[str, str]) -> None:
        self._connection = connection
        self._heads = {method: http2.head(f"/clawdbot.v1.ChatService/{method}", metadata) for method in METHODS}
        self._turn = 0
        self._session = ""
        self._call = 0  # of its conversation
        self._told: asyncio.Future[None] | None = None

    async def chat(self, number: int) -> None:
        said: list[bytes] = []
        await self._one("Chat", number, said.append)
        self._in_session(pb.ChatResponse.FromString(said[0]).session_id if self._turn == 1 else "")

    async def stream(self, number: int) -> None:
        said: list[bytes] = []
        await self._one("StreamChat", number, said.append)
        assert len(said) >= CHUNKS, len(said)
        self._in_session(pb.ChatEvent.FromString(said[0]).start.session_id if self._turn == 1 else "")

    async def _one(self, method: str, number: int, heard: Callable[[bytes], None]) -> None:
        body = self._request(number).SerializeToString()
        await self._connection.over(self._connection.begin(self._heads[method], body, heard))

    async def converse(self, number: int) -> None:
        frame = pb.ClientFrame(ref="1", chat=self._request(number)).SerializeToString()
        self._told = asyncio.get_running_loop().create_future()
        if self._call:
            self._connection.say(self._call, frame)
        else:
            self._call = self._connection.begin(self._heads["Converse"], frame, self._hear, more=True)
        await self._told

    def _hear(self, raw: bytes) -> None:
        kind = (frame := pb.ServerFrame.FromString(raw)).WhichOneof("kind")
        assert self._told is not None
        if kind == "start":
            self._in_session(frame.start.session_id)
        elif kind == "done":
            self._told.set_result(None)
        elif kind == "error":
            self._told.set_exception(RuntimeError(frame.error.message))

    async def leave(self) -> None:
        if self._call:
            over = self._connection.over(self._call)
            self._connection.leave(self._call)
            await over

    def _request(self, number: int) -> pb.ChatRequest:
        """The text of the other measurements' bodies in ours."""
        said = orjson.loads(workload.rest()(number))
        self._turn = self._turn % workload.TURNS + 1
        return pb.ChatRequest(
            message=said["message"],
            max_tokens=said["max_tokens"],
            temperature=said["temperature"],
            session_id=self._session if self._turn > 1 else None,
        )

    def _in_session(self, session: str) -> None:
        if self._turn == 1:
            self._session = session


async def measured(
    environment: GrpcEnvironment, name: str, seconds: float, work: Callable[[Talker], Ask], *, callers: int = CALLERS
) -> Row:
    metadata = {"authorization": f"Bearer {environment.keys['full']}"}
    connections = [await http2.connect(environment.port) for _ in range(CONNECTIONS)]
    talkers = [Talker(connections[number % CONNECTIONS], metadata) for number in range(callers)]
    asks = [work(talker) for talker in talkers]
    unit = "calls" if callers == CALLERS else "turns"
    row = await saturated(name, asks, seconds, pid=environment.worker, mock=environment.mock, unit=unit)
    await asyncio.gather(*(talker.leave() for talker in talkers))
    for connection in connections:
        connection.transport.close()
    return row


async def all_rounds(environment: GrpcEnvironment, seconds: float, rounds: int) -> dict[str, list[float]]:
    """CPU µs of a unary call and of a conversation's turn, round by round."""
    key = {"Authorization": f"Bearer {environment.keys['full']}"}
    web = Server("web", environment.web_worker, environment.web_port, environment.mock, key, "auto")
    found: dict[str, list[float]] = {name: [] for name in GOALS}
    for _ in range(rounds):
        unary = await measured(environment, "Chat (always with a session)", seconds, lambda talker: talker.chat)
        print(unary, flush=True)
        target = web.target("/api/chat", talk=workload.GivenSessions, rest=True)
        beside = await web.saturated("POST /api/chat (always with a session)", target, CALLERS, seconds)
        print(beside, flush=True)
        print(f"yardstick {yardstick():.0f} µs; gRPC takes {unary.cpu / beside.cpu:.2f} of HTTP's CPU", flush=True)
        for pieces in (1, CHUNKS):
            environment.mock.answer(pieces=pieces)
            name = f"Converse, answers of {pieces} chunk{'s' * (pieces > 1)}"
            turns = await measured(environment, name, seconds, lambda talker: talker.converse, callers=CONVERSATIONS)
            print(turns, flush=True)
            if pieces == 1:
                found["Converse turns"].append(turns.cpu)
        found["unary calls"].append(unary.cpu)
    print(
        await measured(environment, f"StreamChat, {CHUNKS} chunks at once", seconds, lambda talker: talker.stream),
        flush=True,
    )
    return found


def yardstick() -> float:
    """Microseconds of a loop of 1,000 additions, by which runs on a machine that others use can be compared."""
    taken = []
    for _ in range(300):
        began, total = time.thread_time(), 0
        for number in range(1000):
            total += number
        taken.append((time.thread_time() - began) * 1e6)
    return sorted(taken)[len(taken) // 2]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    pin(os.getpid(), LOAD_CORE)
    print(HEAD)
    try:
        with GrpcEnvironment() as environment:
            found = uvloop.run(all_rounds(environment, asked.seconds, asked.rounds))
    except subprocess.CalledProcessError as error:
        print(error, file=sys.stderr)
        return 1
    met = True
    for name, goal in GOALS.items():
        a_core = 1e6 / statistics.median(found[name])
        met &= a_core >= goal
        print(f"{a_core:,.0f} {name} a second and core by CPU (goal {goal:,})")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
