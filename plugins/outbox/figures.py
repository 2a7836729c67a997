"""How far every sink is behind, in one value of the platform's store, where web workers read it for their metrics."""

from __future__ import annotations

import logging
import time
from typing import Final

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from plugins.models import SinkState

log = logging.getLogger(__name__)

KEY: Final = "clawdbot:outbox"
EVERY: Final = 5.0  # seconds
GOOD_FOR: Final = 60
TIMEOUT: Final = 0.5


class Figure(msgspec.Struct, frozen=True):
    """Of a sink. `kind` is `webhook`, or the name of a plugin."""

    tenant: str
    sink: str
    lag: int
    lag_seconds: float
    delivered: int
    dead: int
    pruned: int
    failing: bool


class Figures:
    """Writes them now and then. A store that is away costs metrics, nothing else."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._next = 0.0
        self._client: redis.Redis | None = None

    def tell(self) -> None:
        """Raises django.db.Error."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY
        try:
            if self._client is None:
                self._client = redis.Redis.from_url(
                    self._url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=Retry(NoBackoff(), 0)
                )
            self._client.set(KEY, msgspec.json.encode(figures()), ex=GOOD_FOR)
        except (redis.RedisError, OSError, UnicodeError) as error:
            log.info("the outbox's figures could not be left: %s", error)


def figures() -> list[Figure]:
    """One query. Sinks nobody looks after any more are left out."""
    rows = SinkState.objects.everywhere().filter(seen_at__gte=time.time() - GOOD_FOR).select_related("tenant")
    return [
        Figure(
            tenant=row.tenant.slug,
            sink=row.sink,
            lag=row.lag,
            lag_seconds=row.lag_seconds,
            delivered=row.delivered,
            dead=row.dead,
            pruned=row.pruned,
            failing=row.failing_since is not None,
        )
        for row in rows.order_by("tenant_id", "sink")
    ]


def read(raw: bytes | None) -> list[Figure]:
    """Nothing where no publisher runs, or another version wrote it."""
    if raw is None:
        return []
    try:
        return msgspec.json.decode(raw, type=list[Figure])
    except msgspec.MsgspecError:
        return []
