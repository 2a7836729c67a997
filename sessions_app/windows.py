"""Conversations fitted into the windows of models: an estimate says at once that there is room; where it comes near,
the tokens are counted, a long conversation's beside the event loop.

The router, the limits and usage that a service does not report stay with `engine.estimating`, which knows no model:
they look at every turn and every instance, and what a service reports replaces them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from engine import aside
from engine.aside import Aside
from engine.types import ChatRequest, Instance
from sessions_app import vocabularies
from sessions_app.context import Fitted, Room, Talk
from sessions_app.families import ANY, Family, family_of
from sessions_app.tokens import Counter

# An estimate below this part of the room is right that there is room: tables of numbers have a token a character, four
# times their estimate, and no text has more.
NEAR: Final = 0.25
LEAST: Final = 0.35  # a text is at least this part of its estimate (Hindi for o200k_base: four tenths)
SPARE: Final = 10  # of a window that history is fitted into by an estimate a tenth stays free
CHARACTERS: Final = 4  # a token, about, of what is counted at most


class Windows:
    """`share`: the part of a model's window that a conversation may take before its older turns are summed up."""

    def __init__(self, *, share: float = 0.5) -> None:
        self._share = share
        self._aside = Aside()

    async def fit(
        self,
        talk: Talk,
        instance: Instance,
        model: str = "",
        request: ChatRequest | None = None,
        *,
        exact: bool = False,
    ) -> Fitted:
        """What of it goes to this instance, whose service knows the model by this name. `exact`: an estimate is not
        enough, however small it is. Raises ContextTooLong."""
        window = instance.context_window
        if window is None:
            return talk.everything()
        family = family_of(model or instance.upstream_model or instance.name)
        rough = rough_counter(family)
        wanted, tools = (request.max_tokens, rough.tools(request.tools)) if request is not None else (None, 0)
        room = Room.of(window, wanted, tools)
        if not family.vocabulary:
            room = room._replace(answer=room.answer + window // SPARE)
        near = (0.0 if exact else NEAR) if family.vocabulary else 1.0
        most = None if exact else talk.most(family)
        if most is not None and most + room.taken <= min(near, self._share) * (room.window - room.answer):
            return talk.everything()
        tokens = talk.tokens(rough.message) + family.reply
        if tokens + room.taken <= (room.window - room.answer) * near:
            return talk.everything(tokens)
        if not family.vocabulary:
            return talk.fit(room, rough)
        counter = Counter(family, exact=True, limit=window)
        size = CHARACTERS * min(tokens, window) if vocabularies.is_loaded(family.vocabulary) else aside.LONG
        return await self._aside.read(size, lambda: talk.fit(room, counter))

    def is_crowded(self, fitted: Fitted, instance: Instance) -> bool:
        window = instance.context_window
        return window is not None and (fitted.trimmed or fitted.tokens > self._share * window)


@lru_cache(maxsize=64)
def rough_counter(family: Family) -> Counter:
    return Counter(family, exact=False)


def least(talk: Talk) -> int:
    """The tokens of it that no model does without, whichever reads it."""
    return int(LEAST * talk.least(rough_counter(ANY).message))
