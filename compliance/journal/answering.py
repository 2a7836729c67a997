"""A connection to PostgreSQL that waits for every answer only so long: a server may be gone without a word."""

from __future__ import annotations

import time
from typing import Any, Final, Self

import psycopg
from psycopg import conninfo

CONNECT: Final = 2  # seconds; libpq takes no less
ANSWER: Final = 2.5  # seconds for everything between two calls of `allow`
# What the server itself gives up after: a statement that nobody waits for any more must hold no lock.
_OPTIONS: Final = {"statement_timeout": "2000", "lock_timeout": "500", "idle_in_transaction_session_timeout": "5000"}
_DEFAULTS: Final = {
    "connect_timeout": str(CONNECT),
    "tcp_user_timeout": "5000",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "2",
    "application_name": "clawdbot-journal",
}


class Answering(psycopg.Connection[Any]):
    """Raises psycopg.OperationalError, and is closed, when an answer takes longer than `allow` allowed."""

    _until: float | None = None

    @classmethod
    def to(cls, address: str) -> Self:
        """Connected, with commits that reach the disk before they are acknowledged. Raises psycopg.Error."""
        given = {name: str(value) for name, value in conninfo.conninfo_to_dict(address).items() if value is not None}
        options = " ".join([f"-c {name}={value}" for name, value in _OPTIONS.items()] + [given.get("options", "")])
        connection = cls.connect(
            conninfo.make_conninfo(**{**_DEFAULTS, **given, "options": options.strip()}), autocommit=True
        )
        try:
            connection.allow(ANSWER)
            (commits,) = connection.execute("SELECT current_setting('synchronous_commit')").fetchone() or ("",)
            if commits == "off":
                connection.execute("SET synchronous_commit = on")
        except psycopg.Error:
            connection.close()
            raise
        return connection

    def allow(self, seconds: float) -> None:
        """From now on, for all that follows until the next call."""
        self._until = time.monotonic() + seconds

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        if self._until is not None:
            rest = max(self._until - time.monotonic(), 0.001)
            timeout = rest if timeout is None else min(rest, timeout)
        try:
            return super().wait(gen, interval, timeout)
        except psycopg.OperationalError:
            if self._until is not None and time.monotonic() >= self._until:
                self.pgconn.finish()
            raise


def address_of(settings: dict[str, Any]) -> str:
    """The address of a database as Django's settings name it."""
    names = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    given = {ours: str(settings[name]) for name, ours in names.items() if settings.get(name)}
    return conninfo.make_conninfo(**given, **settings.get("OPTIONS", {}))
