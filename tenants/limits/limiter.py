"""Implements `engine.ports.Limiter`: who may begin a turn, and what a call may use.

Who has no limit costs no round trip. Anybody else's turn is admitted by one script over all limits of its tenant that
apply to it, atomic over all workers, by the server's clock; its tokens and money are set aside by another, once the
instance and its price are known. The platform's own limits lie at another shard: they are asked by the same scripts
once the tenant's have let the turn pass, and where they refuse what was taken is given back. What a turn gives back
rides along with the next one's scripts, or leaves by itself a millisecond later:

* requests: a sliding-window log. The times of the last `limit` requests are a list; the oldest of them must be a minute
  old. No sixty seconds ever hold more than the limit, and a check takes constant time.
* turns at the same time: a sorted set of turn ids by deadline. A worker renews its own; a dead worker's run out.
* tokens: a token bucket (https://en.wikipedia.org/wiki/Token_bucket) that holds a minute's worth and refills evenly. A
  turn reserves its estimate and settles what was used, even if that leaves a debt. A turn larger than the whole bucket
  passes when the bucket is full, and reserves two of them at most: a reservation nobody settles, since its worker died,
  is gone after two minutes.
* money: what was spent this day and month, and what is set aside (see `money` and `rebuilding`).

What could not be given back, since the store was away, rides along later. A command that failed on its way may have
been carried out nevertheless; then it counts twice.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

from engine import pricing
from engine.errors import ModelNotFound, RateLimited, StoreUnavailable, TenantSuspended
from engine.limiting import Admission, Reservation, SpendingRecords
from engine.snapshots import Cell
from engine.turn import NO_END
from engine.types import ChatRequest, Instance, Principal, Usage, Window
from tenants.directory import TenantTable, TenantView
from tenants.isolation import Stores
from tenants.limits import scripts
from tenants.limits.money import MOST, Purse
from tenants.limits.notices import Warner
from tenants.limits.periods import Calendar
from tenants.limits.quotas import AllowanceTable
from tenants.limits.rebuilding import Rebuilder, UnknownSpending
from tenants.limits.reserving import Ask, Reserver, Taken, limited
from tenants.limits.slots import SLOT_LEASE, Slots
from tenants.limits.subjects import Scope, Subjects
from tenants.visitor_limits import VisitorLimits

DEFAULT_ANSWER_TOKENS: Final = 256
MAX_ANSWER_TOKENS: Final = 32_768  # reserved for an answer at most; a longer one is settled when it is there
MAX_TURN_TOKENS: Final = 4_000_000  # no model's window holds more: a larger count is a mistake of who counted
MAX_STEP: Final = 4096  # tokens more that are set aside at once for an answer that goes on


class Unlimited:
    """The admission and the reservation of whoever has none of the limits in question."""

    window: Window | None = None
    room = NO_END

    def release(self) -> None:
        pass

    async def extend(self) -> bool:
        return True

    def settle(self, usage: Usage) -> None:
        pass


UNLIMITED: Final = Unlimited()


class Admitted:
    """A turn that counts, with its slots."""

    __slots__ = ("_slots", "_taken", "_turn_id", "window")

    def __init__(self, slots: Slots, turn_id: str) -> None:
        self._slots = slots
        self._turn_id = turn_id
        self._taken: list[tuple[str, str]] = []
        self.window: Window | None = None

    def took(self, tag: str, keys: list[str], window: Window | None) -> None:
        self._taken += [(tag, key) for key in keys]
        if window is not None and (self.window is None or window.remaining < self.window.remaining):
            self.window = window

    def release(self) -> None:
        for tag, key in self._taken:
            self._slots.give_back(tag, key, self._turn_id)


class Reserved:
    """What is set aside for one call."""

    __slots__ = ("_instance", "_limits", "_settled", "_taken", "room", "window")

    def __init__(self, limits: Limits, instance: Instance, taken: list[Taken], room: int) -> None:
        self._limits = limits
        self._instance = instance
        self._taken = taken
        self._settled = False
        self.room = room
        windows = [each.window for each in taken if each.window is not None]
        self.window = min(windows, key=lambda window: window.remaining) if windows else None

    async def extend(self) -> bool:
        step = max(DEFAULT_ANSWER_TOKENS, min(self.room, MAX_STEP))
        granted = await self._limits.more(self._instance, self._taken, step)
        self.room += granted
        return granted > 0

    def settle(self, usage: Usage) -> None:
        if not self._settled:
            self._settled = True
            self._limits.settle(self._instance, self._taken, usage)


class Limits:
    """`answer_tokens` is what a request without `max_tokens` is expected to produce. `spending` has what was spent
    before; where nobody can say money budgets refuse."""

    def __init__(
        self,
        stores: Stores,
        tenants: Cell[TenantTable],
        allowances: Cell[AllowanceTable] | None = None,
        *,
        spending: SpendingRecords | None = None,
        lease: float = SLOT_LEASE,
        answer_tokens: int = DEFAULT_ANSWER_TOKENS,
        calendar: Calendar | None = None,
    ) -> None:
        self._tenants = tenants
        self.store = store = stores.platform()
        self._answer_tokens = answer_tokens
        self.subjects = Subjects(allowances or Cell(AllowanceTable()))
        self.calendar = calendar or Calendar()
        self.slots = Slots(store, lease)
        rebuilder = Rebuilder(
            store, spending or UnknownSpending(), lambda: list(tenants.value.by_id), self.calendar.time
        )
        self.purse = Purse(store, rebuilder, self.calendar, Warner(store, tenants, self.calendar).tell)
        self._reserver = Reserver(store, self.slots, self.purse)
        self._reserver.name(secrets.token_hex(6))
        self._visitors = VisitorLimits(store)

    async def admit(self, principal: Principal, request: ChatRequest, turn_id: str) -> Admission:
        if principal.kind == "system":  # the platform's operator, at a test button
            return UNLIMITED
        view = self._view(principal)
        if principal.kind == "visitor":
            if not view.site.offers(request.model):
                raise ModelNotFound(param="model")
            await self._visitors.turn(view, principal.subject, principal.address)
        found = self.subjects.of_turn(principal, view)
        everybody = self.subjects.of_everybody()
        if found is None and everybody is None:
            return UNLIMITED
        admitted = Admitted(self.slots, turn_id)
        if found is not None:
            await self._admit(found, admitted, turn_id)
        if everybody is not None and everybody.subjects:
            try:
                await self._admit(everybody, admitted, turn_id)
            except BaseException:
                admitted.release()
                for subject in found.turn.logs if found is not None else ():
                    self.store.send("RPOP", f"{subject.prefix}requests")
                raise
        return admitted

    async def _admit(self, scope: Scope, admitted: Admitted, turn_id: str) -> None:
        turn = scope.turn
        if not turn.keys:
            return
        if turn.shut is not None:
            raise RateLimited(f"{turn.shut.who} may not use the service.")
        keys = turn.slot_keys
        riders = self.slots.riders(scope.tag)
        for key in keys:
            self.slots.hold(key, turn_id)
        try:
            answer = self.store.run(
                scripts.ADMIT,
                [*turn.keys, *(key for key, _ in riders)] if riders else turn.keys,
                len(turn.logs),
                len(turn.slots),
                turn_id,
                self.slots.lease_ms,
                *turn.limits,
                *(rider for _, rider in riders),
            )
            self.slots.arrive(scope.tag, riders, answer)
            reply = await asyncio.shield(answer)
            verdict = reply[0].decode()
            if verdict != "ok":
                raise limited((turn.slots if verdict == "turns" else turn.logs)[reply[1] - 1], verdict, reply[2] / 1000)
        except BaseException as error:
            taken = not isinstance(error, RateLimited | StoreUnavailable)
            for key in keys:
                self.slots.give_back(scope.tag, key, turn_id, taken=taken)
            raise
        admitted.took(scope.tag, keys, Window(reply[1], reply[2], reply[3] / 1000) if turn.logs else None)

    async def reserve(
        self,
        principal: Principal,
        instance: Instance,
        prompt_tokens: int,
        max_tokens: int | None,
        *,
        model: str = "",
        choices: int = 1,
    ) -> Reservation:
        if principal.kind == "system":
            return UNLIMITED
        view = self._view(principal)
        own, everybody = self.subjects.of_call(principal, view, model), self.subjects.of_everybody(model)
        if self.purse.noting or (own is not None and own.charged):
            self._note(view, own)
        if own is None and everybody is None:
            return UNLIMITED

        def answer(of: Instance) -> int:
            return self._expected(of, max_tokens) * choices

        ask = Ask(
            prompt_tokens + answer(instance),
            instance,
            lambda of: pricing.price(of, prompt_tokens, answer(of)),
            bool(view.cheaper),
        )
        taken: list[Taken] = []
        try:
            for scope in (own, everybody):
                if scope is not None:
                    taken.append(await self._reserver.take(scope, ask) if scope.asks else _nothing(scope))
        except BaseException:
            for each in taken:
                self._reserver.settle(each, 0, 0)
            raise
        bounded = any(each.buckets or each.holds for each in taken)
        return Reserved(self, instance, taken, answer(instance) if bounded else NO_END)

    async def more(self, instance: Instance, taken: list[Taken], tokens: int) -> int:
        """Sets aside as many more tokens of an answer, or as many as a budget has left; how many."""
        price = instance.price_out
        for each in taken:
            if each.holds and price > 0:
                generation, granted = await self.purse.extend(each.scope, max(1, round(tokens * price)))
                each.holds.append((generation, granted))
                tokens = min(tokens, int(granted / price))
        if tokens > 0:
            for each in taken:
                for place, (subject, amount) in enumerate(each.buckets):
                    self._reserver.correct(each.scope.tag, subject, tokens)
                    each.buckets[place] = (subject, amount + tokens)
        return tokens

    def settle(self, instance: Instance, taken: list[Taken], usage: Usage) -> None:
        """A call is over."""
        asked, said = (min(max(count, 0), MAX_TURN_TOKENS) for count in (usage.prompt_tokens, usage.completion_tokens))
        tokens, cost = min(asked + said, MAX_TURN_TOKENS), min(pricing.price(instance, asked, said), MOST)
        for each in taken:
            self._reserver.settle(each, tokens, cost)

    def _expected(self, instance: Instance, max_tokens: int | None) -> int:
        """How long the answer may become, in tokens: what a caller writes there is no fact."""
        if max_tokens is None:
            return self._answer_tokens
        return min(max_tokens, instance.context_window or MAX_ANSWER_TOKENS, MAX_ANSWER_TOKENS)

    def view(self, tenant_id: int) -> TenantView | None:
        """The tenant as the limits know it."""
        return self._tenants.value.by_id.get(tenant_id)

    def close(self) -> None:
        self.slots.close()
        self._reserver.close()

    def _note(self, view: TenantView, own: Scope | None) -> None:
        if own is not None and own.charged:
            self.purse.note(own)
        else:
            self.purse.stop_noting(own or Scope(str(view.id), view.time_zone, view.id, ()))

    def _view(self, principal: Principal) -> TenantView:
        view = self._tenants.value.by_id.get(principal.tenant_id)
        if view is None:
            raise TenantSuspended
        return view


def _nothing(scope: Scope) -> Taken:
    return Taken(scope, [], [], "", [])
