"""What of a session a model would be sent now, and what it would not see."""

from __future__ import annotations

from functools import partial

from engine.ports import Router
from engine.types import AUTO, ChatRequest, Constraints, Json, Principal
from sessions_app import context, windows
from sessions_app.context import Past, Talk
from sessions_app.families import family_of
from sessions_app.finding import Finder
from sessions_app.windows import Windows


class Sight:
    def __init__(self, finder: Finder, windows: Windows, router: Router) -> None:
        self._finder = finder
        self._windows = windows
        self._router = router

    async def read(self, principal: Principal, session_id: str, model: str = AUTO) -> Json:
        """By the instance that would answer an empty message to this model: `{model, instance, context_window,
        tokenizer, exact, tokens, layer, messages}`. Each of the session's messages is there with its place, and
        `left_out`, which says why it is not sent: `summary no_room unanswered`. `tokens` None: the window is not known,
        so nothing is counted.

        Raises SessionNotFound, ContextTooLong and what a router raises."""
        _, record = await self._finder.find(principal, session_id)
        view = self._finder.view(principal.tenant_id)
        line = context.profile_line(record.user_profile, view.profile_template if view is not None else "")
        talk, request = Talk(Past.of(record), [], line), ChatRequest(messages=[], model=model)
        constraints = Constraints(needed=partial(windows.least, talk), answerer=record.answerer)
        route = self._router.choose(principal, request, record.messages, {}, constraints)
        route.unused()
        instance = route.instance
        fitted = await self._windows.fit(talk, instance, route.upstream_model, exact=True)
        sendable, layer = talk.everything().places, context.in_force(record)
        family = family_of(route.upstream_model)
        messages = []
        for turn, said in enumerate(record.turns):
            for number, message in enumerate(said):
                place = (turn, number)
                row = {"turn": turn, "message": number, "role": message.role, "sent": place in fitted.places}
                if place in record.pinned:
                    row["pinned"] = True
                if place not in fitted.places:
                    covered = layer is not None and turn < layer.through
                    row["left_out"] = "no_room" if place in sendable else "summary" if covered else "unanswered"
                messages.append(row)
        return {
            "model": route.model,
            "instance": instance.name,
            "context_window": instance.context_window,
            "tokenizer": family.name,
            "exact": bool(family.vocabulary),
            "tokens": fitted.tokens if instance.context_window is not None else None,
            "layer": layer.id if layer is not None else None,
            "messages": messages,
        }
