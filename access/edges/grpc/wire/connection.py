"""HTTP/2 of one connection (RFC 9113), as a server of gRPC: no push, no priorities, no table for what we send.

Everything its client can make us keep is bounded: what waits for handlers by two windows, headers by a block's size,
calls by their number. What costs us and brings nothing, as pings, settings and calls that are taken back at once, is
counted; so is what we would have to say to a client that reads nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import grpc

from access.edges.grpc.wire import hpack
from access.edges.grpc.wire.frames import (
    ACK,
    CALM,
    COMPRESSION_ERROR,
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    FRAME,
    FRAME_SIZE_ERROR,
    GOAWAY,
    PADDED,
    PING,
    PREFACE,
    PRIORITISED,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    SETTINGS,
    WIDEST,
    Fault,
    path_of,
    settings_in,
    unpadded,
)  # fmt: skip
from access.edges.grpc.wire.hpack import Fields
from access.edges.grpc.wire.line import BLOCK, HELD_UP, NOISE, Line
from access.edges.grpc.wire.streams import Stream

log = logging.getLogger(__name__)

MOST: Final = 16 * BLOCK  # bytes of headers after which a connection is ended; beyond BLOCK a call is refused
TROUBLE: Final = 50.0  # what a frame of headers beyond BLOCK counts for
DROWNED: Final = 1 << 20  # bytes of it after which a client has read nothing for too long


class Connection(Line):
    """What its client sends."""

    def data_received(self, data: bytes) -> None:
        self._heard = self.loop.time()
        self._pinged = False
        buffer = self._buffer + data if self._buffer else data
        try:
            self._buffer = self._read(buffer)
        except Fault as fault:
            self._buffer = b""
            log.debug("a connection of gRPC is ended: %s", fault)
            self._send(
                GOAWAY, 0, 0, self._last.to_bytes(4, "big") + fault.code.to_bytes(4, "big") + str(fault).encode()
            )
            self.close()
            for stream in list(self._streams.values()):
                stream.gone()
        if self.transport.get_write_buffer_size() > DROWNED:
            self.transport.abort()

    def _read(self, buffer: bytes) -> bytes:
        """What is left of it. Raises Fault."""
        if not self._greeted:
            if not buffer.startswith(PREFACE[: len(buffer)]):
                raise Fault(PROTOCOL_ERROR, "this is no HTTP/2")
            if len(buffer) < len(PREFACE):
                return buffer
            self._greeted = True
            buffer = buffer[len(PREFACE) :]
        at, size = 0, len(buffer)
        while size - at >= 9 and not self.transport.is_closing():
            length = int.from_bytes(buffer[at : at + 3], "big")
            if length > FRAME:
                raise Fault(FRAME_SIZE_ERROR, f"a frame of {length} bytes")
            end = at + 9 + length
            if end > size:
                break
            kind, flags = buffer[at + 3], buffer[at + 4]
            stream = int.from_bytes(buffer[at + 5 : at + 9], "big") & WIDEST
            if self._block is not None and (kind != CONTINUATION or stream != self._block[0]):
                raise Fault(PROTOCOL_ERROR, "headers that do not go on")
            if kind <= CONTINUATION:  # others mean nothing to us
                _FRAMES[kind](self, flags, stream, buffer[at + 9 : end])
            at = end
        return buffer[at:]

    # Frames ------------------------------------------------------------------------------------------------------

    def _on_data(self, flags: int, number: int, payload: bytes) -> None:
        size = len(payload)
        self._free -= size
        if self._free < 0:
            raise Fault(FLOW_CONTROL_ERROR, "more than the connection's window")
        if not size and not flags & END_STREAM:
            self._bother()
        stream = self._streams.get(number)
        if stream is None or stream.ended:
            if number > self._last or not number & 1:
                raise Fault(PROTOCOL_ERROR, "data of no stream")
            self.taken(number, size, 0)  # of a call that is over: it was under way
            if size:
                self._bother()
            return
        stream.room -= size
        if stream.room < 0:
            raise Fault(FLOW_CONTROL_ERROR, "more than a stream's window")
        if size:
            stream.hear(unpadded(payload) if flags & PADDED else payload, size)
        if flags & END_STREAM:
            stream.end()

    def _on_headers(self, flags: int, number: int, payload: bytes) -> None:
        if flags & PADDED:
            payload = unpadded(payload)
        if flags & PRIORITISED:
            if len(payload) < 5:
                raise Fault(FRAME_SIZE_ERROR, "headers without their priority")
            payload = payload[5:]
        self._go_on(number, flags, payload)

    def _on_continuation(self, flags: int, number: int, payload: bytes) -> None:
        if self._block is None:
            raise Fault(PROTOCOL_ERROR, "headers that go on and never began")
        self._bother()
        _, first, so_far = self._block
        self._go_on(number, flags & END_HEADERS | first & ~END_HEADERS, so_far + payload)

    def _go_on(self, number: int, flags: int, block: bytes) -> None:
        if len(block) > BLOCK:  # read all the same, for later headers build on them
            self._bother(TROUBLE)
            if len(block) > MOST:
                raise Fault(CALM, f"more than {MOST} bytes of headers")
        if not flags & END_HEADERS:
            self._block = number, flags, block
            return
        self._block = None
        try:
            fields = self._headers.decode(block)
        except hpack.Malformed as error:
            raise Fault(COMPRESSION_ERROR, str(error)) from None
        self._call(number, fields, ended=bool(flags & END_STREAM))

    def _call(self, number: int, fields: Fields, *, ended: bool) -> None:
        stream = self._streams.get(number)
        if stream is not None:  # trailers, which say nothing to us
            if stream.ended or not ended:
                raise Fault(PROTOCOL_ERROR, "headers in the middle of a stream")
            stream.end()
            return
        if not number & 1 or number <= self._last:
            if number & 1:
                self._bother()  # trailers of a call that is over
                return
            raise Fault(PROTOCOL_ERROR, "a stream's number that is not the client's to give")
        if self._left or len(self._streams) >= self._owner.limits.streams:
            self._last = number
            self._bother()
            self.reset(number, REFUSED_STREAM)
            return
        if self.transport.get_write_buffer_size() > DROWNED:
            raise Fault(CALM, "answers that are not read")
        self._last = number
        self._called = self._heard
        path = path_of(fields)
        limit = self._owner.smaller.get(path or b"", self._owner.limits.message)
        stream = Stream(self, number, fields, window=self._stream_window, ended=ended, limit=limit)
        self._streams[number] = stream
        taken = self._owner.take()
        if path is None:
            self.reset(number, PROTOCOL_ERROR)
            stream.gone()
        elif not taken or sum([len(name) + len(value) for name, value in fields]) > BLOCK:
            stream.finish(grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many calls, or too much metadata.")
        else:
            stream.begin(self._owner.handlers.get(path), path)

    def _on_priority(self, flags: int, number: int, payload: bytes) -> None:
        self._bother()

    def _on_reset(self, flags: int, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise Fault(FRAME_SIZE_ERROR, "a reset of another size")
        if number > self._last or not number:
            raise Fault(PROTOCOL_ERROR, "a reset of no stream")
        self._bother()
        stream = self._streams.get(number)
        if stream is not None:
            stream.gone()

    def _on_settings(self, flags: int, number: int, payload: bytes) -> None:
        if number or (flags & ACK and payload):
            raise Fault(PROTOCOL_ERROR, "settings that are none")
        if flags & ACK:
            return
        self._bother()
        window = self._stream_window
        for key, value in settings_in(payload):
            if key == 4:
                if value > WIDEST:
                    raise Fault(FLOW_CONTROL_ERROR, "a window that is too wide")
                window = value
            elif key == 5 and FRAME <= value < 1 << 24:
                self.largest = min(value, HELD_UP)
        self._send(SETTINGS, ACK, 0, b"")
        self._widen(window)

    def _widen(self, window: int) -> None:
        """All streams, once for all that a frame says of it."""
        more, self._stream_window = window - self._stream_window, window
        for stream in list(self._streams.values()) if more else ():
            stream.widen(more)
            if stream.window > WIDEST:
                raise Fault(FLOW_CONTROL_ERROR, "a window that is too wide")

    def _on_push(self, flags: int, number: int, payload: bytes) -> None:
        raise Fault(PROTOCOL_ERROR, "a client that pushes")

    def _on_ping(self, flags: int, number: int, payload: bytes) -> None:
        if number or len(payload) != 8:
            raise Fault(FRAME_SIZE_ERROR, "a ping that is none")
        if not flags & ACK:
            self._bother()
            self._send(PING, ACK, 0, payload)

    def _on_goaway(self, flags: int, number: int, payload: bytes) -> None:
        self._left = True
        self._end_if_idle()

    def _on_window(self, flags: int, number: int, payload: bytes) -> None:
        more = int.from_bytes(payload, "big") & WIDEST
        if len(payload) != 4 or not more:
            raise Fault(FRAME_SIZE_ERROR if len(payload) != 4 else PROTOCOL_ERROR, "a window that does not grow")
        self._bother()  # each message it is sent makes up for two
        if not number:
            self.window += more
            if self.window > WIDEST:
                raise Fault(FLOW_CONTROL_ERROR, "a window that is too wide")
            self._pump()
        elif (stream := self._streams.get(number)) is not None:
            stream.widen(more)
            if stream.window > WIDEST:
                raise Fault(FLOW_CONTROL_ERROR, "a window that is too wide")
        elif number > self._last:
            raise Fault(PROTOCOL_ERROR, "a window of no stream")

    def _bother(self, cost: float = 1.0) -> None:
        """Raises Fault: too many frames that bring nothing."""
        now = self._heard
        self._noise = min(NOISE, self._noise + (now - self._noise_at) * NOISE / 2) - cost
        self._noise_at = now
        if self._noise < 0 or self.transport.get_write_buffer_size() > DROWNED:
            raise Fault(CALM, "too many frames that bring nothing")


_FRAMES: Final[tuple[Callable[[Connection, int, int, bytes], None], ...]] = (
    Connection._on_data,
    Connection._on_headers,
    Connection._on_priority,
    Connection._on_reset,
    Connection._on_settings,
    Connection._on_push,
    Connection._on_ping,
    Connection._on_goaway,
    Connection._on_window,
    Connection._on_continuation,
)
