"""One request and its answer on a connection: uvicorn's, with less to do for each.

What it costs is measured by `benchmarks.wire`. An application's header fields are checked as uvicorn checks them, but
all at once; the head of an answer whose length is known leaves with its body; nothing waits for what is here already.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn._types import ASGI3Application, ASGIReceiveEvent, ASGISendEvent, HTTPScope
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HEADER_RE, STATUS_LINE, RequestResponseCycle

from access.disconnects import WHEN_GONE
from clawdbot_site.serving.bursts import Burst
from clawdbot_site.serving.heads import REMEMBERED

if TYPE_CHECKING:
    from clawdbot_site.serving.limits import LimitedHttpProtocol

CONTROLS: Final = bytes([*range(0x09), *range(0x0A, 0x20), 0x7F])  # what no value holds (a tab it may)
CHUNKED: Final = b"transfer-encoding: "
LENGTH: Final = b"content-length: "
CONNECTION: Final = b"connection: "
TYPE: Final = b"content-type: "
ENCODING: Final = b"content-encoding: "
EVENTS: Final = b"text/event-stream"
COMMENT: Final = b"3\r\n:\n\n\r\n"  # an empty one, in a chunk of its own
_CLOSE: Final = re.compile(rb"(?:^|,)\s*close\s*(?:,|$)", re.IGNORECASE)


class Names(dict[bytes, bytes]):
    """How a line begins, by the name of its field. Raises RuntimeError of what is no name."""

    def __missing__(self, name: bytes) -> bytes:
        if HEADER_RE.search(name):
            raise RuntimeError("Invalid HTTP header name.")
        line = name.lower() + b": "
        if len(self) < REMEMBERED:
            self[name] = line
        return line


NAMES: Final = Names()


class Signal:
    """An asyncio.Event that takes next to no time and memory as long as nobody waits for it. `call` is called once when
    it is set."""

    __slots__ = ("_told", "_waiting", "call")

    def __init__(self) -> None:
        self.call: Callable[[], None] | None = None
        self._told = False
        self._waiting: tuple[asyncio.Future[None], ...] = ()

    def set(self) -> None:
        self._told = True
        for each in self._waiting:
            if not each.done():
                each.set_result(None)
        if self.call is not None:
            call, self.call = self.call, None
            call()

    def clear(self) -> None:
        self._told = False

    async def wait(self) -> None:
        if self._told:
            return
        mine = asyncio.get_running_loop().create_future()
        self._waiting += (mine,)
        try:
            await mine
        finally:
            self._waiting = tuple(each for each in self._waiting if each is not mine)


class Flow(FlowControl):
    """uvicorn's, with the above in place of an event."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.read_paused = False
        self.write_paused = False
        self._is_writable_event = cast(asyncio.Event, Signal())
        self._is_writable_event.set()


class Cycle(RequestResponseCycle):
    transport: Burst  # type: ignore[assignment]
    message_event: Signal  # type: ignore[assignment]
    before: Cycle | None = None  # while this one waits: whose answer leaves before its own
    holds_back = False  # whether a piece waits until the client has taken more

    def __init__(self, connection: LimitedHttpProtocol, scope: HTTPScope, *, keep_alive: bool) -> None:
        self.scope = scope
        scope[WHEN_GONE] = self.when_gone  # type: ignore[typeddict-unknown-key]
        self.transport = connection.burst
        self.flow = connection.flow
        self.logger = connection.logger
        self.message_event = Signal()
        self._connection: LimitedHttpProtocol | None = connection  # as long as the answer is not over
        self._state = connection.server_state
        self.disconnected = False
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = connection.expect_100_continue
        self.body = bytearray()
        self.more_body = True
        self.response_started = False
        self.response_complete = False
        self.chunked_encoding: bool | None = None
        self.expected_content_length = 0
        self._events = False
        self._head = b""  # what waits for its body
        self._task: asyncio.Task[None] | None = None

    def start(self, loop: asyncio.AbstractEventLoop, application: ASGI3Application) -> None:
        self.before = None
        self._task = task = loop.create_task(self.run_asgi(application))
        self._state.tasks.add(task)

    async def run_asgi(self, app: ASGI3Application) -> None:
        """As uvicorn's, and the end of its task: one coroutine, since a stream keeps it as long as it lasts."""
        try:
            result: object = await app(self.scope, self.receive, self.send)  # type: ignore[func-returns-value]
        except BaseException as error:  # noqa: BLE001  # the border: whatever it is, somebody waits for an answer
            self.logger.error("Exception in ASGI application\n", exc_info=error)
            if self.response_started:
                self.transport.close()
            else:
                await self.send_500_response()
        else:
            if result is not None:
                self.logger.error("ASGI callable should return None, but returned '%s'.", result)
                self.transport.close()
            elif not self.response_complete and not self.disconnected:
                await self._left_off()
        finally:
            self._connection = None
            self.scope.pop(WHEN_GONE, None)  # type: ignore[typeddict-item]  # else both wait for the collector
            if self._task is not None:
                self._state.tasks.discard(self._task)
                self._task = None

    async def _left_off(self) -> None:
        if self.response_started:
            self.logger.error("ASGI callable returned without completing response.")
            self.transport.close()
        else:
            self.logger.error("ASGI callable returned without starting response.")
            await self.send_500_response()

    # ASGI -------------------------------------------------------------------------------------------------------------

    async def receive(self) -> ASGIReceiveEvent:
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        if not self.disconnected and not self.response_complete:
            self.flow.resume_reading()
            await self.message_event.wait()
            self.message_event.clear()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body, self.body = bytes(self.body), bytearray()
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    def when_gone(self, tell: Callable[[], None] | None) -> bool:
        """See `access.disconnects.WHEN_GONE`. From here on only the end of answer or connection sets the event. Who
        asks has a long answer to give, through which the connection does without what it reads with."""
        if self.more_body and tell is not None:
            return False
        self.message_event.call = tell
        if tell is None:
            return True
        if self.disconnected or self.response_complete:
            tell()
            return True
        self.flow.resume_reading()
        if self._connection is not None:
            self._connection.rest()
        return True

    def leave(self) -> None:
        """The client is gone: neither this request nor those before it need an answer any more."""
        cycle: Cycle | None = self
        while cycle is not None:
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
            cycle = cycle.before

    async def send(self, message: ASGISendEvent) -> None:
        if self.flow.write_paused and not self.disconnected:
            self.holds_back = True
            await self.flow.drain()
            self.holds_back = False
        if self.disconnected:
            return
        if not self.response_started:
            self._begin(message)
        elif not self.response_complete:
            self._go_on(message)
        else:
            raise RuntimeError(f"Unexpected ASGI message '{message['type']}' sent, after response already completed.")

    def _begin(self, message: Any) -> None:
        if message["type"] != "http.response.start":
            raise RuntimeError(f"Expected ASGI message 'http.response.start', but got '{message['type']}'.")
        self.response_started = True
        self.waiting_for_100_continue = False
        status: int = message["status"]
        headers: list[tuple[bytes, bytes]] = message.get("headers", [])
        said = {NAMES[name]: value for name, value in headers}
        values = b"".join([value for _, value in headers])
        if len(values) != len(values.translate(None, CONTROLS)):
            raise RuntimeError("Invalid HTTP header value.")
        lines = [STATUS_LINE[status], self._state.default_lines, *[b"%b%b\r\n" % (NAMES[n], v) for n, v in headers]]
        self._frame(said, status, lines)
        lines.append(b"\r\n")
        if self.chunked_encoding:
            self.transport.write(b"".join(lines))
        else:
            self._head = b"".join(lines)

    def _frame(self, said: dict[bytes, bytes], status: int, lines: list[bytes]) -> None:
        """How its body ends, and whether the connection goes on."""
        if said.get(CHUNKED, b"").lower() == b"chunked":
            self.chunked_encoding = True
        elif LENGTH in said:
            self.expected_content_length = int(said[LENGTH])
            self.chunked_encoding = False
        elif self.scope["method"] != "HEAD" and status not in (204, 304):
            self.chunked_encoding = True
            self._events = said.get(TYPE, b"").partition(b";")[0].strip() == EVENTS and ENCODING not in said
            lines.append(b"transfer-encoding: chunked\r\n")
        if CONNECTION in said and _CLOSE.search(said[CONNECTION]):
            self.keep_alive = False
        elif not self.keep_alive:
            lines.append(b"connection: close\r\n")

    @property
    def is_open_stream(self) -> bool:
        """Whether this is a stream of server-sent events that goes on. What is sent of it are whole events."""
        return self._events and not self.response_complete and not self.disconnected

    def sign_of_life(self) -> None:
        """Sends a comment between two events, unless what was sent still waits for the client, or what is to be sent
        does: it may be the rest of a large event."""
        if not self.holds_back and not self.transport.get_write_buffer_size() and not self.transport.is_closing():
            self.transport.write_last(COMMENT)

    def _go_on(self, message: Any) -> None:
        if message["type"] != "http.response.body":
            raise RuntimeError(f"Expected ASGI message 'http.response.body', but got '{message['type']}'.")
        body: bytes = message.get("body", b"")
        more: bool = message.get("more_body", False)
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
            data = self._head
        elif self.chunked_encoding:
            data = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if not more:
                data += b"0\r\n\r\n"
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0:
                raise RuntimeError("Response content longer than Content-Length")
            data = self._head + body
        self._head = b""
        if more:
            if data:
                self.transport.write(data)
            return
        if self.expected_content_length != 0:
            raise RuntimeError("Response content shorter than Content-Length")
        self.response_complete = True
        self.message_event.set()
        self.transport.write_last(data)
        if not self.keep_alive:
            self.transport.close()
        if self._connection is not None:
            self._connection.on_response_complete()
