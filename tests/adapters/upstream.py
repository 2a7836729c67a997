"""A scripted HTTP/1.1 server on a free loopback port: sends any bytes, cut anywhere, and remembers what it got.

    async with Upstream() as upstream:
        upstream.answers(whole("Hello"), error(500))    # the next request gets the first, all later ones the last
        upstream.answers([head_of_stream(), b"data: {", 0.01, HANG])    # bytes, pauses in seconds, HANG, CUT, RESET
        upstream.answers(whole("Hello"), streamed(events("Hel", "lo")), choose=by_stream)
        ...
        upstream.requests[0].json["messages"]
        await upstream.closed(1)                                    # one connection was closed by the client

No framework, so nothing mends what a test wants broken. It keeps connections alive like a real one.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

HANG = object()  # sends nothing more until the client leaves
CUT = object()  # closes the connection here, in good order
RESET = object()  # closes it with a TCP reset

Step = Any  # bytes | float | HANG | CUT | RESET


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Upstream:
    """`requests` in order of arrival, `connections` opened so far, `open` now, `log` of `(what, connection)`."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.open = 0
        self.log: list[tuple[str, int]] = []
        self._answers: deque[Sequence[Step]] = deque()
        self._choose: Callable[[Request], int] | None = None
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Upstream:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def answers(self, *scripts: Sequence[Step], choose: Callable[[Request], int] | None = None) -> None:
        """Replaces what is still to be answered. `choose` says which script a request gets; else each is used once,
        in order, and the last for all later requests."""
        self._answers = deque(scripts)
        self._choose = choose

    def _script(self, request: Request) -> Sequence[Step]:
        if self._choose is not None:
            return self._answers[self._choose(request)]
        return self._answers.popleft() if len(self._answers) > 1 else self._answers[0]

    async def asked(self, count: int) -> None:
        await self._until(lambda: len(self.requests) >= count)

    async def closed(self, count: int) -> None:
        """Until that many connections were closed by their clients."""
        await self._until(lambda: [what for what, _ in self.log].count("left") >= count)

    async def _until(self, true: Any) -> None:
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(true)

    async def _note(self, what: str, connection: int) -> None:
        async with self._changed:
            self.log.append((what, connection))
            self._changed.notify_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open += 1
        number = self.connections
        try:
            while (request := await _read(reader, number)) is not None:
                self.requests.append(request)
                await self._note("asked", number)
                if not await self._play(self._script(request), reader, writer):
                    break
            if reader.at_eof():
                await self._note("left", number)
        except (ConnectionError, asyncio.IncompleteReadError):
            await self._note("left", number)
        except asyncio.CancelledError:
            pass  # the server stops; streams of Python 3.11 complain about handlers that end cancelled
        finally:
            self.open -= 1
            self._tasks.discard(task)
            writer.close()

    async def _play(self, script: Iterable[Step], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """False when the connection is over."""
        for step in script:
            if step is HANG:
                await reader.read(1)
                return False
            if step is CUT or step is RESET:
                if step is RESET:
                    sock = writer.get_extra_info("socket")
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    writer.transport.abort()
                return False
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            else:
                await asyncio.sleep(step)
        return True


async def _read(reader: asyncio.StreamReader, connection: int) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, path, headers, body, connection)


def by_stream(request: Request) -> int:
    """For `answers(whole, streamed, choose=by_stream)`."""
    return 1 if request.body and request.json.get("stream") else 0


# Answers ----------------------------------------------------------------------------------------------------------


def answer(status: int, body: bytes | Any, **headers: str) -> list[Step]:
    """A whole HTTP answer; `body` as bytes or as something to be JSON. Header names with `_` for `-`."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"content_type": "application/json", "content_length": str(len(data)), **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return [f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + data]


def error(status: int, message: str = "no", code: str | None = None, **headers: str) -> list[Step]:
    return answer(status, {"error": {"message": message, "type": "x", "param": None, "code": code}}, **headers)


def head_of_stream(content_type: str = "text/event-stream") -> bytes:
    """Ends with the connection, so that the body is any bytes at all."""
    return f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\nconnection: close\r\n\r\n".encode()


def streamed(events: Iterable[bytes], pause: float = 0.0) -> list[Step]:
    """Events as a real server streams them: one chunk of the transfer coding each, connection kept."""
    script: list[Step] = [b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"]
    for event in events:
        script += [pause] if pause else []
        script.append(b"%x\r\n%b\r\n" % (len(event), event))
    return [*script, b"0\r\n\r\n"]


USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}


def message_object(content: str | None = "Hello", finish: str = "stop", **message: Any) -> dict[str, Any]:
    """A `chat.completion` object of one choice."""
    said = {"role": "assistant", "content": content, "refusal": None, **message}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": said, "finish_reason": finish, "logprobs": None}],
        "usage": dict(USAGE),
        "system_fingerprint": "fp_1",
    }


def whole(content: str | None = "Hello", finish: str = "stop", **message: Any) -> list[Step]:
    return answer(200, message_object(content, finish, **message))


def event(data: Any) -> bytes:
    return b"data: " + (data if isinstance(data, bytes) else json.dumps(data, ensure_ascii=False).encode()) + b"\n\n"


def chunk(delta: dict[str, Any] | None, finish: str | None = None, index: int = 0, **fields: Any) -> bytes:
    """A `chat.completion.chunk` event; without a delta the usage chunk with empty `choices`."""
    choice = {"index": index, "delta": delta, "finish_reason": finish, "logprobs": fields.pop("logprobs", None)}
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", **fields}
    return event({**body, "choices": [] if delta is None else [choice]})


DONE = event(b"[DONE]")


def events(*pieces: str | dict[str, Any], finish: str = "stop", usage: dict[str, Any] | None = USAGE) -> list[bytes]:
    """The events of a whole stream: role, pieces (texts or deltas), finish reason, usage, end."""
    deltas = [piece if isinstance(piece, dict) else {"content": piece} for piece in pieces]
    return [
        chunk({"role": "assistant", "content": ""}),
        *(chunk(delta) for delta in deltas),
        chunk({}, finish),
        *([chunk(None, usage=usage)] if usage else []),
        DONE,
    ]
