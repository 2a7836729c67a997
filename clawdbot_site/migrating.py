"""Migrations under a running platform: nobody waits long behind one, and one migrates at a time.

A statement that waits for a table's lock stands in front of everybody who comes after it. So on PostgreSQL it gives up
after `lock_timeout`, lets the queue go, and tries again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.errors import DeadlockDetected, LockNotAvailable

TURN: Final = 0x636C_6177_6462_6F74  # of the advisory lock: who has it migrates this database
PAUSE: Final = 1.0  # seconds on average between two tries

Say = Callable[[str], object]


def patiently(
    connection: BaseDatabaseWrapper,
    migrate: Callable[[], object],
    *,
    lock_timeout: float,
    patience: float,
    say: Say,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """`migrate()` again and again until it got every lock within `lock_timeout` seconds, for `patience` seconds at
    most. What is done is not done again: each migration that succeeded is noted. Raises what `migrate` raises."""
    until = time.monotonic() + patience
    try:
        while True:
            try:
                _execute(connection, f"SET lock_timeout = {round(lock_timeout * 1000)}")
                _execute(connection, f"SELECT pg_advisory_lock({TURN})")
                migrate()
                return
            except OperationalError as error:
                if not isinstance(error.__cause__, LockNotAvailable | DeadlockDetected) or time.monotonic() > until:
                    raise
                say(f"Somebody uses what is to be changed ({error.__cause__.diag.message_primary}); trying again.")
            _execute(connection, f"SELECT pg_advisory_unlock({TURN})")
            sleep(PAUSE * random.uniform(0.5, 1.5))  # noqa: S311  # so that two do not come in step
    finally:
        with suppress(OperationalError):  # a connection that is gone has neither
            _execute(connection, f"SELECT pg_advisory_unlock({TURN})")
            _execute(connection, "RESET lock_timeout")


def _execute(connection: BaseDatabaseWrapper, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
