"""Counts what may be tried only so often, in Django's cache, for all workers together.

With the cache away nothing can be counted: `CannotCount` is raised, and whoever asks decides."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import NamedTuple

from django.core.cache import cache
from django_redis.exceptions import ConnectionInterrupted
from redis.exceptions import RedisError

AWAY = (ConnectionInterrupted, RedisError)  # what the cache raises when it does not answer


class CannotCount(Exception):
    """The cache does not answer."""


class Taken(NamedTuple):
    """`wait`: seconds until the next one is allowed; 0: this one was. `first`: the first that is refused."""

    wait: int
    first: bool = False


@dataclass(frozen=True, slots=True)
class Attempts:
    """At most `most` in a window of `seconds` that begins with the first one."""

    name: str
    most: int
    seconds: int

    def take(self, subject: str) -> Taken:
        """One more. It is counted before it is tried, so that many at the same moment are no way around."""
        key = self._key(subject)
        until = int(time.time()) + self.seconds
        try:
            # the count is in the last digits, so that one `incr` is the whole step and no worker's is lost
            if cache.add(key, until * _ROOM + 1, self.seconds):
                return Taken(0 if self.most else self.seconds, first=not self.most)
            until, count = divmod(int(cache.incr(key)), _ROOM)
        except ValueError:  # the window ended between the two
            return Taken(0)
        except AWAY as error:
            raise CannotCount from error
        if count <= self.most:
            return Taken(0)
        return Taken(max(1, until - int(time.time())), first=count == self.most + 1)

    def give_back(self, subject: str) -> None:
        """It was none of those that count."""
        try:
            cache.decr(self._key(subject))
        except ValueError:
            pass
        except AWAY as error:
            raise CannotCount from error

    def forget(self, subject: str) -> None:
        try:
            cache.delete(self._key(subject))
        except AWAY as error:
            raise CannotCount from error

    def _key(self, subject: str) -> str:
        return f"attempts:{self.name}:{hashlib.sha256(subject.encode('utf-8', 'replace')).hexdigest()}"


_ROOM = 1_000_000
