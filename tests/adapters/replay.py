"""An HttpClient that hands out prepared pieces: TCP may join what a server cuts, this never does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from engine.outbound import MAX_BODY, Timeouts


class ReplayResponse:
    def __init__(self, pieces: Sequence[bytes], status: int, content_type: str) -> None:
        self.pieces = [piece for piece in pieces if piece]
        self.status = status
        self.headers = {"Content-Type": content_type}
        self.closed = False

    async def read(self, limit: int = MAX_BODY) -> bytes:
        return b"".join(self.pieces)

    async def _pieces(self) -> AsyncIterator[bytes]:
        while self.pieces:
            yield self.pieces.pop(0)

    def chunks(self) -> AsyncIterator[bytes]:
        return self._pieces()

    def expect_by(self, at: float, late: str) -> None:
        """Nothing of it is ever late."""

    async def close(self) -> None:
        self.closed = True


class ReplayClient:
    """Every request gets the same pieces; `responses` shows what became of them."""

    def __init__(self, *pieces: bytes, status: int = 200, content_type: str = "text/event-stream") -> None:
        self.pieces = pieces
        self.status = status
        self.content_type = content_type
        self.more: dict[str, str] = {}  # headers of answers
        self.responses: list[ReplayResponse] = []

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes, timeouts: Timeouts) -> ReplayResponse:
        self.responses.append(ReplayResponse(self.pieces, self.status, self.content_type))
        self.responses[-1].headers.update(self.more)
        return self.responses[-1]

    async def get(self, url: str, *, headers: Mapping[str, str], timeouts: Timeouts) -> ReplayResponse:
        return await self.post(url, headers=headers, body=b"", timeouts=timeouts)

    async def close(self) -> None: ...
