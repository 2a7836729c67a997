"""How many tokens a request is for the model that would answer it: counted where its vocabulary is known, else an
estimate (see `sessions_app.families`)."""

from __future__ import annotations

from engine import aside
from engine.aside import Aside
from engine.types import ChatRequest
from sessions_app import vocabularies
from sessions_app.families import family_of
from sessions_app.tokens import Counter


class Counting:
    """One an edge: long texts are counted beside the event loop."""

    def __init__(self) -> None:
        self._aside = Aside()

    async def tokens(self, model: str, request: ChatRequest) -> int:
        """`model`: its public name."""
        family = family_of(model)
        counter = Counter(family, exact=True)
        size = aside.length(request.messages) + aside.length_of(request.tools)
        if family.vocabulary and not vocabularies.is_loaded(family.vocabulary):
            size = aside.LONG
        return await self._aside.read(
            size, lambda: counter.messages(request.messages) + counter.tools(request.tools) + family.reply
        )
