"""How a view of the lean handler works with rows: in threads of its own, never on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from functools import partial
from threading import Barrier, BrokenBarrierError
from typing import Final, TypeVar

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import IntegrityError, InterfaceError, OperationalError, connections

from engine.errors import Conflict, InvalidRequest, Overloaded, StoreUnavailable
from tenants import actors, walls
from tenants.actors import Actor

T = TypeVar("T")

THREADS: Final = 2
MAX_WAITING: Final = 64  # pieces of work at a time, running ones too: behind a database that hangs no queue grows
CLOSING: Final = 5.0  # seconds a closing thread waits for the others


class Rows:
    """A few threads that use the ORM, each with its own connections, in the name of who asks and behind the wall of
    their tenant. One a process; opens nothing before its first use.

    `await rows.run(work)` gives what `work()` returns. What a service refuses (django's ValidationError) is
    InvalidRequest with the field as `param`, a clash with another change Conflict, a database that is away
    StoreUnavailable, too much waiting work Overloaded; every other error passes as it is."""

    def __init__(self, threads: int = THREADS) -> None:
        self._count = threads
        self._waiting = 0
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="management-rows")

    async def run(self, work: Callable[[], T]) -> T:
        """A caller who leaves does not stop work that has begun: a change is made whole or not at all."""
        if self._waiting >= MAX_WAITING:
            raise Overloaded(retry_after=1)
        self._waiting += 1
        # an empty context: `access.lean` refuses the database to whoever carries that of a lean request
        doing = partial(_worked, actors.current(), walls.current(), work)
        done = asyncio.get_running_loop().run_in_executor(self._threads, Context().run, doing)
        done.add_done_callback(self._finished)
        return await done

    def _finished(self, _: asyncio.Future[T]) -> None:
        self._waiting -= 1

    def close(self) -> None:
        """Blocking. What waits is done first; then every thread closes its connections."""
        all_here = Barrier(self._count)
        for _ in range(self._count):
            self._threads.submit(_leave, all_here)
        self._threads.shutdown()


def _worked(actor: Actor, tenant_id: int | None, work: Callable[[], T]) -> T:
    actors.become(actor)
    walls.become(tenant_id)
    for connection in connections.all(initialized_only=True):
        connection.close_if_unusable_or_obsolete()
    try:
        return work()
    except ValidationError as error:
        raise refused(error) from None
    except IntegrityError as error:
        raise Conflict() from error
    except (OperationalError, InterfaceError) as error:
        connections.close_all()
        raise StoreUnavailable() from error


def refused(error: ValidationError) -> InvalidRequest:
    """The first complaint, with its field."""
    if not hasattr(error, "error_dict"):
        return InvalidRequest(error.messages[0])
    field, messages = next(iter(error.message_dict.items()))
    if field == NON_FIELD_ERRORS:
        return InvalidRequest(messages[0])
    return InvalidRequest(f"{field}: {messages[0]}", param=field)


def _leave(all_here: Barrier) -> None:
    """Each thread takes one of these, because it waits here until the others have theirs."""
    try:
        all_here.wait(CLOSING)
    except BrokenBarrierError:
        pass
    connections.close_all()
