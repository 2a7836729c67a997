"""What a connection may send before it is anybody's request: sizes and times of the HTTP head and body.

uvicorn alone accepts a header of any size, any number of fields, and keeps a half-sent request open for ever.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable, Collection
from typing import Any, cast
from urllib.parse import unquote

import httptools
import msgspec
from uvicorn._types import ASGI3Application, HTTPScope
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl, service_unavailable
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from access.connection_places import Held, Places
from access.secure_pages import BARE
from clawdbot_site.serving.bursts import WRITE_IDLE, Burst
from clawdbot_site.serving.cycles import Cycle, Flow
from clawdbot_site.serving.heads import JUDGED, LOWER, Ambiguous, Head, new_parser
from clawdbot_site.serving.kept import Kept
from clawdbot_site.serving.refusals import HEADERS_TOO_LARGE, MALFORMED, TIMEOUT, Refusal

ASGI: Any = {"version": "3.0", "spec_version": "2.3"}
HEEDED = JUDGED | {b"expect"}
FRAMING = 8  # times as many bytes as a body has, and a header's worth more, may go into how it is cut into chunks
BARE_LINES = b"".join(b"%s: %s\r\n" % each for each in BARE) + b"\r\n"  # of an answer's head, and its end
NOBODY: deque[Any] = deque(maxlen=0)  # the requests that wait on most connections
KEPT = 1.0  # seconds after an answer in which its connection need not make way
LINGER = 1.0  # seconds a refused client may go on sending before the connection closes without a reset


class Limits(msgspec.Struct, frozen=True):
    """Sizes in bytes, times in seconds."""

    connections: int = 20_000
    header_bytes: int = 32 * 1024
    header_fields: int = 100
    header_time: float = 10.0
    body_thrown_away: int = 32 * 1024 * 1024  # of a request that is answered: as much as anybody may send at all
    body_idle: float = 30.0
    body_time: float = 300.0  # for all of a body; what waits for its reader here does not count
    write_idle: float = WRITE_IDLE
    event_silence: float = 15.0  # of a stream of events, before it gets a sign of life; 0: never
    keep_alive: int = 75
    websocket_message: int = 256 * 1024
    websocket_message_time: float = 30.0
    websocket_frames: int = 100  # a second: fragments, pings and pongs too
    websocket_lag: float = 10.0
    ping_interval: float = 40.0
    ping_timeout: float = 20.0


class Refused(Exception):
    """Leaves a parser callback; httptools wraps it in its own error, which ends in `refuse`."""


class ConnectionState(ServerState):
    """What all connections of a server share. `default_lines` are the fields of every answer as they are sent."""

    def __init__(self, limits: Limits, tell: Callable[[str], None] = lambda outcome: None) -> None:
        super().__init__()
        self.places = Places(
            limits.connections,
            cast(Collection[Held], self.connections),
            tell,
            called_within=KEPT,
            what="connections of the web server",
            log=logging.getLogger("clawdbot.server"),
        )
        self.turned_away: set[object] = set()
        self.limits = limits
        self.draining = False
        self.addresses: dict[tuple[str, int | None] | None, tuple[str, int | None] | None] = {}  # of this machine

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        return self._default_headers

    @default_headers.setter
    def default_headers(self, fields: list[tuple[bytes, bytes]]) -> None:
        """uvicorn sets them anew each second, for the date in them."""
        self._default_headers = fields
        self.default_lines = b"".join(b"%b: %b\r\n" % field for field in fields)


class LimitedHttpProtocol(Kept):
    """uvicorn's HTTP/1.1 connection inside `Limits`. A whole request in one read costs no timer."""

    # Beyond 30 attributes Python keeps a table for each object; with uvicorn's own there would be more.
    __slots__ = (
        "_begun_bytes", "_body_bytes", "_body_until", "_declined", "_framed_bytes", "_head", "_head_bytes",
        "_other_protocol", "_piece_bytes", "_reading_head", "_refusal", "_timer", "_trailers", "burst", "limits",
    )  # fmt: skip

    server_state: ConnectionState
    flow: FlowControl
    cycle: Cycle

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.pipeline = NOBODY
        self.limits = self.server_state.limits
        self._reading_head = True
        self._head_bytes = 0
        self._piece_bytes = 0
        self._begun_bytes = 0  # of the piece in which a head began that has not ended; all of it may be head
        self._body_bytes = 0
        self._framed_bytes = 0  # what came since the head, chunks' sizes and trailers too
        self._trailers = 0
        self._head = Head()
        self._declined = False  # the head asks for another protocol, which nobody here speaks
        self._refusal = MALFORMED
        self._refused = False
        self._timer: asyncio.TimerHandle | None = None
        self._body_until = 0.0
        self._idle_since = 0.0
        self._other_protocol = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        placed = self.server_state.places.take()
        self.burst = Burst(transport, self.loop, self.limits.write_idle)
        super().connection_made(cast(asyncio.Transport, self.burst))
        self.flow = Flow(cast(asyncio.Transport, self.burst))
        self.server = self.server_state.addresses.setdefault(self.server, self.server)  # one for all connections
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._idle_since = self.loop.time()
        if placed:
            self._arm(self.limits.header_time)
        else:
            self.turn_away(self.server_state.turned_away, self.limits.connections)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._unset_keepalive_if_required()
        self.burst.lost()
        self.server_state.turned_away.discard(self)
        if self.cycle is not None:
            self.cycle.leave()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.burst.held_up()

    def data_received(self, data: bytes) -> None:
        if self._refused or self.transport.is_closing():
            return
        if cast(object, self.parser) is None:
            self.parser = new_parser(self)
        self._piece_bytes = len(data)
        if self._reading_head:
            self._head_bytes += len(data)
        else:
            self._framed_bytes += len(data)
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self.refuse(self._refusal)
        if self._refused or self.transport.get_protocol() is not self:
            return
        cycle = self.cycle
        if self._reading_head:
            if self._head_bytes > self.limits.header_bytes:
                self.refuse(HEADERS_TOO_LARGE)
            elif (self._head_bytes or self._begun_bytes) and self._timer is None:
                self._arm(self.limits.header_time)
        elif self._framed_bytes > self.limits.header_bytes + FRAMING * self._body_bytes:
            self.refuse(MALFORMED)
        elif self._body_bytes > self.limits.body_thrown_away and cycle is not None and cycle.response_complete:
            self.transport.close()
        elif cycle is not None and cycle.more_body:
            self._disarm()
            self._arm_for_body()

    def rest(self) -> None:
        """Between two requests: the next gets a parser of its own, since one is a tenth of what a stream takes."""
        between = self._reading_head and not (self._head_bytes or self._begun_bytes or self._other_protocol)
        if between and self.cycle.keep_alive:
            self.parser = None  # type: ignore[assignment]

    def _parse(self, data: bytes) -> None:
        """The parser ends a request with its head where that asks for another protocol, and takes a body for the next
        request. Of what is not to be a WebSocket, or not while an answer goes on, it reads the head again without."""
        rest: bytes | memoryview = data
        while True:
            try:
                self.parser.feed_data(rest)
                return
            except httptools.HttpParserUpgrade as upgrade:
                if not self._declined:
                    self.handle_websocket_upgrade()
                    return
                rest = memoryview(rest)[upgrade.args[0] :]
            self._declined = False
            self.parser.feed_data(self._head_without_upgrade())

    def _head_without_upgrade(self) -> bytes:
        line = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        fields = (b"%b: %b\r\n" % (name, value) for name, value in self.headers if name != b"upgrade")
        return b"".join((line, *fields, b"\r\n"))

    # Parser callbacks ---------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self.url = b""
        self.expect_100_continue = self._other_protocol = False
        self.headers = []
        self._head.begin()
        self._begun_bytes = self._piece_bytes

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._reading_head:
            self._trailer()
            return
        if len(self.headers) >= self.limits.header_fields:
            raise self._refusing(HEADERS_TOO_LARGE)
        name = LOWER[name]
        if name in HEEDED:
            if name != b"expect":
                self._judged(self._head.judge, name, value)
            elif value.lower() == b"100-continue":
                self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._head_bytes + self._begun_bytes > self.limits.header_bytes:
            exact = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if exact > self.limits.header_bytes:
                raise self._refusing(HEADERS_TOO_LARGE)
        parser = self.parser
        version = parser.get_http_version()
        self._judged(self._head.end, version, self.url)
        if parser.should_upgrade():
            self._other_protocol = (self.cycle is None or self.cycle.response_complete) and self._should_upgrade()
            if not self._other_protocol:
                self._declined = True
                return
        self._disarm()
        self.scope = self._scope(version)
        self._reading_head = False
        if self._other_protocol:
            return
        cycle = Cycle(self, self.scope, keep_alive=version != "1.0" and parser.should_keep_alive())
        if self.server_state.draining:
            cycle.keep_alive = False  # the client's next request goes to somebody who stays
        before, self.cycle = self.cycle, cycle
        application = self.app if self._room() else cast(ASGI3Application, service_unavailable)
        if before is None or before.response_complete:
            cycle.start(self.loop, application)
        else:  # it has to wait for its turn, since answers come in the order of requests
            self.flow.pause_reading()
            cycle.before = before
            self.pipeline = deque() if self.pipeline is NOBODY else self.pipeline
            self.pipeline.appendleft((cycle, application))

    def _scope(self, version: str) -> HTTPScope:
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        return {
            "type": "http",
            "asgi": ASGI,
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme or "http",
            "method": self.parser.get_method().decode("ascii"),
            "root_path": self.root_path,
            "path": self.root_path + (unquote(path) if "%" in path else path),
            "raw_path": self.root_path.encode("ascii") + url.path,
            "query_string": url.query or b"",
            "headers": self.headers,
            "state": self.app_state.copy(),
        }

    def _room(self) -> bool:
        most = self.limit_concurrency
        return most is None or (len(self.connections) < most and len(self.tasks) < most)

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        if self._declined:
            return
        self._reading_head = True
        self._head_bytes = self._begun_bytes = self._body_bytes = self._framed_bytes = self._trailers = 0
        self._body_until = 0.0
        self._disarm()
        if self._other_protocol:
            return
        cycle = self.cycle
        if cycle.response_complete:
            self._idle_since = self.loop.time()
        else:
            cycle.more_body = False
            cycle.message_event.set()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, application = self.pipeline.pop()
            cast(Cycle, cycle).start(self.loop, application)
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._watch_idleness(self.timeout_keep_alive)

    def _trailer(self) -> None:
        """A field after the body. Nobody is told of it: what it says was not there when the request was judged."""
        self._trailers += 1
        if self._trailers > self.limits.header_fields:
            raise self._refusing(HEADERS_TOO_LARGE)

    def _judged(self, judge: Callable[..., None], *said: object) -> None:
        try:
            judge(*said)
        except Ambiguous:
            raise self._refusing(MALFORMED) from None

    def _refusing(self, refusal: Refusal) -> Refused:
        self._refusal = refusal
        return Refused(refusal.code)

    # Refusals -----------------------------------------------------------------------------------------------------

    def refuse(self, refusal: Refusal) -> None:
        """Answers in the product's one error shape, then closes; never writes into a response already begun."""
        self._refused = True
        self._disarm()
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            answering = cycle.response_started or bool(self.pipeline)
            cycle.leave()
            if answering:
                self.transport.close()
                return
        elif not self._reading_head:  # the answer is out already, the rest of the body never came
            self.transport.close()
            return
        body = refusal.body()
        self.transport.write(
            STATUS_LINE[refusal.status]
            + b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n" % len(body)
            + BARE_LINES
            + body
        )
        # Closing with unread bytes in the kernel sends a reset that can overtake the answer.
        self.transport.write_eof()
        self.loop.call_later(LINGER, self.transport.close)

    def _arm(self, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self._too_slow)

    def _arm_for_body(self) -> None:
        """Until it goes on, and at the latest until all of it is to be here."""
        now = self.loop.time()
        if not self._body_until or self.flow.read_paused:
            self._body_until = now + self.limits.body_time
        self._arm(max(0.0, min(self.limits.body_idle, self._body_until - now)))

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self.flow.read_paused:  # we are the slow side: the body waits for its reader
            self._arm_for_body()
        elif self._reading_head and not (self._head_bytes or self._begun_bytes):
            self.transport.close()
        else:
            self.refuse(TIMEOUT)

    def handle_websocket_upgrade(self) -> None:
        self._disarm()
        self._unset_keepalive_if_required()
        super().handle_websocket_upgrade()
