"""Signs of life in streams of server-sent events: a model may think for minutes, and proxies, load balancers and mobile
networks give up a connection on which nothing comes. It is a comment (WHATWG HTML, 9.2.6), which no reader takes for an
event."""

from __future__ import annotations

from collections.abc import Iterable

from clawdbot_site.serving.cycles import Cycle
from clawdbot_site.serving.limits import LimitedHttpProtocol


class Silences:
    """`look` is to be called about once a second: a stream that was sent nothing for `seconds` gets a sign of life
    before it has been twice that long, and then one each `seconds`. One pass over all connections does it, so that
    chunks pay nothing for it. 0: never."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due = 0.0
        self._written: dict[int, int] = {}  # by the connection's id(): what it had been sent when last looked at

    def look(self, connections: Iterable[object], now: float) -> None:
        """`now`: seconds of a clock that only goes forward."""
        if not self._seconds or now < self._due:
            return
        self._due = now + self._seconds
        before, self._written = self._written, {}
        for each in connections:
            stream = _open_stream(each) if isinstance(each, LimitedHttpProtocol) else None
            if stream is not None:
                if before.get(id(each)) == stream.transport.written:
                    stream.sign_of_life()
                self._written[id(each)] = stream.transport.written


def _open_stream(connection: LimitedHttpProtocol) -> Cycle | None:
    """What is being answered, where that is a stream; the connection knows the last request, which may wait behind."""
    cycle: Cycle | None = connection.cycle
    while cycle is not None and cycle.before is not None:
        cycle = cycle.before
    return cycle if cycle is not None and cycle.is_open_stream else None
