"""WebSocket connections: uvicorn's, where a refused handshake has the product's one error shape and is nobody's fault
but the client's, so nothing is logged of it."""

from __future__ import annotations

import email.utils
import logging
from http import HTTPStatus
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.datastructures import Headers
from websockets.http11 import Response
from websockets.server import ServerProtocol
from websockets.typing import StatusLike

from access.secure_pages import BARE
from clawdbot_site.serving.refusals import HEADERS_TOO_LARGE, Refusal

REFUSALS: Final = {
    403: Refusal(403, "forbidden", "This handshake is not allowed."),
    405: Refusal(405, "method_not_allowed", "A WebSocket begins with GET."),
    414: HEADERS_TOO_LARGE,
    431: HEADERS_TOO_LARGE,
    500: Refusal(500, "internal_error", "The request could not be served."),
}


class Handshake(ServerProtocol):
    """The WebSocket protocol whose refusals are JSON."""

    def reject(self, status: StatusLike, text: str) -> Response:
        refusal = REFUSALS.get(int(status)) or Refusal(400, "invalid_request", text.partition("\n")[0])
        body = refusal.body()
        fields = {
            "Date": email.utils.formatdate(usegmt=True),
            "Connection": "close",
            "Content-Length": str(len(body)),
            "Content-Type": "application/json",
            **{name.decode(): value.decode() for name, value in BARE},
        }
        return Response(refusal.status, HTTPStatus(refusal.status).phrase, Headers(fields), body)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)
        self.conn = Handshake(max_size=config.ws_max_size, logger=logging.getLogger("uvicorn.error"))
        self._serve = self.app
        self.app = cast(Any, self._application)

    async def _application(self, scope: Any, receive: Any, send: Any) -> None:
        await self._serve(scope, receive, send)
        if self.close_sent:  # also by an HTTP answer in place of the handshake, which uvicorn calls an error otherwise
            self.handshake_complete = True

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            # What the parser itself refuses uvicorn neither answers nor ends.
            answer = b"".join(self.conn.data_to_send()) or self.conn.reject(400, str(self.conn.handshake_exc))
            self.transport.write(answer if isinstance(answer, bytes) else answer.serialize())
            self.close_sent = self.handshake_complete = True
            self.transport.close()
