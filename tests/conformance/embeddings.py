"""What every adapter with the capability `embeddings` must hold. Inherit and say how to make its service behave.

class TestMine(EmbeddingConformance):
    @asynccontextmanager
    async def embedding(self, answer): ...
"""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import pytest

from adapters.base import BaseModelAdapter
from engine.errors import EngineError
from engine.types import EmbedCall
from tests.conformance.adapters import FAILURES

INPUTS = ["one", "zwei — 二", " ", "one"]


@dataclass(frozen=True)
class Vectors:
    """What the service is to do: answer any vectors of `dimensions` (None: its own number), fail or hang."""

    dimensions: int | None = None
    failure: str = ""  # of FAILURES
    hangs: bool = False


class EmbeddingConformance(ABC):
    @abstractmethod
    def embedding(self, answer: Vectors) -> AbstractAsyncContextManager[BaseModelAdapter]:
        """An adapter whose service does as `answer` says, at every call; it gives equal inputs equal vectors."""

    async def let_go(self) -> None:
        """Returns once the service has seen that the call was given up."""
        raise NotImplementedError

    @pytest.mark.parametrize("count", [1, 4])
    async def test_it_makes_one_vector_an_input(self, count: int) -> None:
        async with self.embedding(Vectors()) as adapter:
            assert "embeddings" in adapter.capabilities
            embedded = await adapter.embed(EmbedCall("upstream-name", INPUTS[:count]))
        assert len(embedded.vectors) == count and len({len(vector) for vector in embedded.vectors}) == 1
        assert all(math.isfinite(number) for vector in embedded.vectors for number in vector)
        if count == 4:
            first, second, third, again = embedded.vectors
            assert first == again and len({str(vector) for vector in (first, second, third)}) == 3

    async def test_it_asks_for_dimensions(self) -> None:
        async with self.embedding(Vectors(dimensions=5)) as adapter:
            embedded = await adapter.embed(EmbedCall("upstream-name", INPUTS, 5))
        assert {len(vector) for vector in embedded.vectors} == {5}

    async def test_it_reports_the_usage_of_inputs(self) -> None:
        async with self.embedding(Vectors()) as adapter:
            embedded = await adapter.embed(EmbedCall("upstream-name", INPUTS))
        assert embedded.usage is None or (embedded.usage.prompt_tokens > 0 and embedded.usage.completion_tokens == 0)

    @pytest.mark.parametrize("failure", FAILURES)
    async def test_it_tells_failures_of_embeddings_apart(self, failure: str) -> None:
        async with self.embedding(Vectors(failure=failure)) as adapter:
            with pytest.raises(EngineError) as caught:
                await adapter.embed(EmbedCall("upstream-name", INPUTS))
        assert type(caught.value) is FAILURES[failure]

    async def test_it_lets_go_of_embeddings_when_cancelled(self) -> None:
        async with self.embedding(Vectors(hangs=True)) as adapter:
            task = asyncio.create_task(adapter.embed(EmbedCall("upstream-name", INPUTS)))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await self.let_go()
