"""An upstream without sockets: the mock's bytes behind the seam of `engine.outbound`."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping

from benchmarks import workload
from benchmarks.mock_upstream import JSON_ANSWER, STREAM, said
from benchmarks.spoken import answers
from engine.outbound import MAX_BODY, Timeouts

ENDPOINT = "http://mock.invalid/v1"
WHOLE = JSON_ANSWER.partition(b"\r\n\r\n")[2]


EVENTS = [piece.split(b"\r\n", 1)[1].split(b"\r\n")[0] for piece in STREAM]
STREAMED = b"".join(EVENTS)
_answers = itertools.count()
APART = b'"max_tokens":%d' % workload.APART


class CannedResponse:
    status = 200

    def __init__(self, stream: bool, apart: bool = False) -> None:
        self._apart = apart
        self.headers: Mapping[str, str] = {"Content-Type": "text/event-stream" if stream else "application/json"}

    async def read(self, limit: int = MAX_BODY) -> bytes:
        return WHOLE

    async def chunks(self) -> AsyncIterator[bytes]:
        if not self._apart:
            yield STREAMED
            return
        for event in (*said(next(_answers)), EVENTS[-1]):
            yield event
            await asyncio.sleep(0)  # the next one comes in another step of the loop

    def expect_by(self, at: float, late: str) -> None:
        pass

    async def close(self) -> None:
        pass


class CannedHttp:
    """`engine.outbound.HttpClient`."""

    def __init__(self) -> None:
        answers()  # made now: it takes seconds

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes, timeouts: Timeouts) -> CannedResponse:
        return CannedResponse(b'"stream":true' in body, APART in body)

    async def get(self, url: str, *, headers: Mapping[str, str], timeouts: Timeouts) -> CannedResponse:
        return CannedResponse(stream=False)

    def reaching(self, private: bool) -> CannedHttp:
        return self

    async def close(self) -> None:
        pass
