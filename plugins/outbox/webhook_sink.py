"""Events posted to a tenant's address, signed."""

from __future__ import annotations

import time
from typing import Final

from plugins.outbox.events import CONTENT_TYPE, Event
from plugins.outbox.sinks import EventRefused, SinkAway, SinkGone
from tenants import webhooks
from tenants.webhooks import AddressRefused, DeliveryFailed

GONE: Final = 410
WAIT: Final = frozenset({429, 502, 503, 504})  # it has no time now, which says nothing of the event


class WebhookSink:
    """`keys`: secrets, each with when it ends (Unix seconds, None: never)."""

    def __init__(self, url: str, keys: tuple[tuple[str, float | None], ...]) -> None:
        self._url = url
        self._keys = keys

    def send(self, event: Event) -> int:
        body = event.encoded()
        now = time.time()
        keys = [secret for secret, until in self._keys if until is None or until > now]
        if not keys:
            raise SinkAway("its secret cannot be read")
        headers = {"Content-Type": CONTENT_TYPE, **webhooks.headers_of(event.id, body, int(now), keys)}
        try:
            status = webhooks.call(self._url, body, headers)
        except AddressRefused as error:
            raise SinkAway(f"the address is refused: {error}") from error
        except DeliveryFailed as error:
            raise SinkAway(str(error)) from error
        if 200 <= status < 300:
            return status
        told = f"the webhook answered {status}"
        if status == GONE:
            raise SinkGone(told, status)
        raise (SinkAway if status in WAIT else EventRefused)(told, status)

    def close(self) -> None:
        """Every event has a connection of its own."""
