"""From a query to its rows. Imported only where a tenant asks a database: what parses SQL and speaks to databases takes
tens of MiB."""

from __future__ import annotations

import threading

from sqlalchemy import Engine

from plugins.databases.addresses import AddressRefused
from plugins.databases.catalogue import Source
from plugins.databases.checking import Checked, check
from plugins.databases.connecting import engine_of
from plugins.databases.failures import QueryFailed
from plugins.databases.running import Rows, run


class Answerer:
    """Of one data source, for several threads. Opens nothing before the first query."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._engine: Engine | None = None
        self._lock = threading.Lock()

    def checked(self, sql: str) -> Checked:
        """Asks no database. Raises Refused."""
        return check(sql, self._source)

    def answer(self, sql: str) -> tuple[Checked, Rows]:
        """Blocking. Raises Refused, QueryFailed."""
        checked = check(sql, self._source)
        return checked, run(self._opened(), self._source, checked)

    def close(self) -> None:
        with self._lock:
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None

    def _opened(self) -> Engine:
        with self._lock:
            if self._engine is None:
                try:
                    self._engine = engine_of(self._source)
                except AddressRefused as error:
                    raise QueryFailed("database_unreachable", str(error)) from None
            return self._engine
