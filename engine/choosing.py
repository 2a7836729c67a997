"""Step 5 of a turn: the router chooses an instance, and where all that fit are full the turn waits for a place."""

from __future__ import annotations

from engine import estimating
from engine.errors import ContextTooLong, EngineError, ModelNotFound, Overloaded
from engine.metadata import facts
from engine.ports import Route, Router
from engine.turn import Turn
from engine.worker import Worker


class Chooser:
    """One an engine."""

    def __init__(self, router: Router, worker: Worker) -> None:
        self.router = router
        self.worker = worker

    async def choose(self, turn: Turn) -> Route:
        """Raises what the router does; BudgetExceeded where nobody is left whom the turn's budget has room for."""
        try:
            try:
                turn.route = self._chosen(turn)
            except Overloaded as error:
                if not error.full:
                    raise
                turn.route = await self._waited_for(turn, error)
        except EngineError as error:
            turn.refused = error.decision or {}
            if turn.over_budget is not None and isinstance(error, Overloaded | ContextTooLong | ModelNotFound):
                turn.over_budget.decision = error.decision
                raise turn.over_budget from None  # nobody it has room for is left
            raise
        if turn.features and turn.parent is None and (found := facts(turn.features)):
            turn.route.decision["found"] = found
        if turn.waited:
            turn.route.decision["waited"] = round(turn.waited, 3)
        return turn.route

    def _chosen(self, turn: Turn) -> Route:
        return self.router.choose(turn.principal, turn.request, turn.history(), turn.features, turn.constraints)

    async def _waited_for(self, turn: Turn, full: Overloaded) -> Route:
        """The first place that is left by somebody goes to whose turn it is. Raises Overloaded with what the router had
        found and the seconds that waiting would take."""
        self.worker.prepared(turn)
        queue = self.worker.queue
        clock = queue.monotonic
        owner, decision = turn.principal.tenant_id, full.decision or {}
        tokens: int = decision.get("features", {}).get("prompt_tokens", 0)
        answer = estimating.answer_tokens(turn.request.max_tokens) if turn.request.task == "chat" else 0
        cost = max(1, tokens + answer)
        while True:
            began = clock()
            try:
                place = await queue.wait("instance", full.full, turn.principal, cost, turn.waited)
            except Overloaded as error:
                error.decision = {**decision, "waited": round(turn.waited + clock() - began, 3)}
                raise
            finally:
                turn.waited += clock() - began
            place.claim(owner)
            try:
                return self._chosen(turn)
            except Overloaded as error:
                if not error.full:
                    raise
                full = error
            finally:
                place.freed()  # for the next one, if this turn went elsewhere
