"""Answers a plugin's queries in threads of each data source's own, so that a slow database holds up nobody else's."""

from __future__ import annotations

import asyncio
import importlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from plugins.databases.catalogue import Source
from plugins.databases.failures import QueryFailed

if TYPE_CHECKING:  # it is heavy: loaded in a thread, where a tenant uses it
    from plugins.databases.checking import Checked
    from plugins.databases.running import Rows

THREADS: Final = 2  # a data source, as many as it has connections
MOST_WAITING: Final = 8  # queries of a data source at a time, running ones too
HEAVY: Final = "plugins.databases.answering"


class Desk:
    """The data sources of one tenant. Opens nothing before the first query."""

    def __init__(self) -> None:
        self._counters: dict[int, Counter] = {}

    async def query(self, source: Source, sql: str) -> tuple[Checked, Rows]:
        """Raises Refused, QueryFailed."""
        found: tuple[Checked, Rows] = await self._counter(source).work("answer", sql)
        return found

    async def check(self, source: Source, sql: str) -> Checked:
        """Whether the query would be run, without running it. Raises Refused, QueryFailed."""
        checked: Checked = await self._counter(source).work("checked", sql)
        return checked

    def _counter(self, source: Source) -> Counter:
        counter = self._counters.get(source.id)
        if counter is None:
            counter = self._counters[source.id] = Counter(source)
        return counter

    def close(self) -> None:
        """Does not wait: what still runs ends by its limits."""
        for counter in self._counters.values():
            counter.close()
        self._counters.clear()


class Counter:
    """Where the queries of one data source are answered."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix=f"database-{source.id}")
        self._waiting = 0
        self._answerer: Any = None
        self._lock = threading.Lock()

    async def work(self, what: str, sql: str) -> Any:
        """`what` is a method of the `Answerer`."""
        if self._waiting >= MOST_WAITING:
            raise QueryFailed("too_slow", "The database is busy with other questions.")
        self._waiting += 1
        done = asyncio.get_running_loop().run_in_executor(self._threads, self._work, what, sql)
        done.add_done_callback(self._answered)
        return await done

    def close(self) -> None:
        self._threads.submit(self._dispose)
        self._threads.shutdown(wait=False)

    def _answered(self, _: object) -> None:
        self._waiting -= 1

    def _work(self, what: str, sql: str) -> Any:
        with self._lock:
            if self._answerer is None:
                self._answerer = importlib.import_module(HEAVY).Answerer(self._source)
        return getattr(self._answerer, what)(sql)

    def _dispose(self) -> None:
        if self._answerer is not None:
            self._answerer.close()
