"""A WebSocket from the handshake to its end: uvicorn's, inside limits that hold whatever its other end does.

Not more than a buffer's worth waits for a client that does not read; every frame counts, fragments and pings too; a
message that was begun is finished in time; an end that is no longer there is noticed. Whoever goes beyond is told why
by the close code, and gets a moment to hear it."""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

from uvicorn._types import ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.server import ServerState
from websockets.exceptions import InvalidState
from websockets.protocol import State

from clawdbot_site.serving.bursts import MAX_BYTES, Burst
from clawdbot_site.serving.handshakes import WebSocketProtocol
from clawdbot_site.serving.limits import LINGER, ConnectionState

SLOW: Final = 1008
NO_TEXT: Final = 1007
UNRESPONSIVE: Final = 1011
FLOOD: Final = 4429
PIECE: Final = 1024  # bytes parsed before it is asked how many frames that were


class SocketProtocol(WebSocketProtocol):
    transport: Burst  # type: ignore[assignment]
    known, going, silent_since = True, False, None  # it makes way for nobody

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)
        self._limits = cast(ConnectionState, server_state).limits
        self._frames_left = float(self._limits.websocket_frames)
        self._counted_at = self._heard_at = self.loop.time()
        self._taken_at_ping = self._written_with_ping = 0
        self._unfinished: asyncio.TimerHandle | None = None
        self._deaf = False  # what still comes is thrown away unread

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(MAX_BYTES)
        self.transport.agree(self._limits.websocket_lag, MAX_BYTES, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish()
        self.transport.lost()
        super().connection_lost(exc)

    # What comes ------------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._heard_at = self.loop.time()
        for begin in range(0, len(data), PIECE):
            if self._deaf:
                return
            super().data_received(data if len(data) <= PIECE else data[begin : begin + PIECE])
        if self.conn.state is State.OPEN and (self.frames or self.conn.reader.buffer):
            if self._unfinished is None:
                self._unfinished = self.loop.call_later(self._limits.websocket_message_time, self._not_finished)
        else:
            self._finish()

    def handle_events(self) -> None:
        now = self.loop.time()
        most = self._limits.websocket_frames
        self._frames_left = min(most, self._frames_left + (now - self._counted_at) * most) - len(self.conn.events)
        self._counted_at = now
        if self._frames_left < 0:
            self._deaf = True
            self._give_up(FLOOD, LINGER)
        else:
            super().handle_events()

    def handle_ping(self) -> None:
        output = self.conn.data_to_send()
        if self.writable.is_set():  # who does not read needs no pong
            self.transport.write(b"".join(output))

    def send_receive_event_to_app(self) -> None:
        self._finish()
        if self.curr_msg_data_type == "text" and not self.close_sent:
            text = b"".join(self.frames)
            try:
                text.decode()
            except UnicodeDecodeError:
                self.conn.fail(NO_TEXT)
                self.handle_parser_exception()
                return
            self.frames = [text]
        super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        """uvicorn's closes at once, and a reset overtakes the close frame where the rest is not read."""
        self._deaf = True
        if self.conn.close_sent is None:  # it is no WebSocket yet
            self.transport.reset()
        else:
            self._over(self.conn.close_sent.code, LINGER)

    def _finish(self) -> None:
        if self._unfinished is not None:
            self._unfinished.cancel()
            self._unfinished = None

    def _not_finished(self) -> None:
        self._unfinished = None
        if not self.read_paused:  # else we are the slow side; the next bytes begin anew
            self._give_up(SLOW, LINGER, "a message was not finished")

    # What goes -------------------------------------------------------------------------------------------------------

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "websocket.send":
            while not self.writable.is_set():  # of many that waited the first may fill the buffer again
                await self.writable.wait()
        elif message["type"] == "websocket.close":
            self.writable.set()  # a close frame waits for nobody
        else:
            await super().send(message)
            return
        if self.close_sent and self.handshake_complete:
            raise ClientDisconnected
        await super().send(message)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.transport.held_up()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.transport.caught_up()

    def _too_slow(self) -> None:
        self._give_up(SLOW, self._limits.websocket_lag, "what was sent is not read")

    # Who is not there any more ---------------------------------------------------------------------------------------

    def send_keepalive_ping(self) -> None:
        self._taken_at_ping = self.transport.taken()
        super().send_keepalive_ping()
        self.transport.flush()
        self._written_with_ping = self.transport.written

    def keepalive_timeout(self) -> None:
        """No pong came. It may wait behind what a slow line still carries, or behind what we do not read."""
        self.pong_timer = self.pending_ping_payload = None
        under_way = self._taken_at_ping < self.transport.taken() < self._written_with_ping
        if under_way or not self.writable.is_set() or self.read_paused or self._heard_at > self.ping_sent_at:
            self.schedule_ping()
        else:
            self._give_up(UNRESPONSIVE, LINGER)

    def make_way(self) -> None:
        """Nobody asks."""

    # The end ---------------------------------------------------------------------------------------------------------

    def _give_up(self, code: int, linger: float, reason: str = "") -> None:
        if self.close_sent or self.transport.is_closing():
            return
        try:
            self.conn.send_close(code, reason)
        except InvalidState:  # it is no WebSocket yet
            self.transport.reset()
            return
        self._over(code, linger)

    def _over(self, code: int, linger: float) -> None:
        """The close frame is on its way; the application hears of it now, the connection stays until it was read."""
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": ""})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self._finish()
        self.stop_keepalive()
        self.writable.set()
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(linger, self._leave)

    def _leave(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.reset()
        else:
            self.transport.close()
