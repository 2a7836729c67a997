"""Implements `engine.ports.Limiter`: who may begin a turn, and what a call may use.

Who has no limit costs no round trip, nor do most turns of a tenant under traffic that is far from its limits (see
`leases`). Anybody else's turn is admitted by one script over all limits of its tenant that apply to it, atomic over all
workers, by the server's clock; its tokens and money are set aside by another, once the instance and its price are
known. The platform's own limits lie at another shard: they are asked by the same scripts once the tenant's have let the
turn pass, and where they refuse what was taken is given back. What a turn gives back rides along with the next one's
scripts, or leaves by itself a millisecond later:

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
import time
from collections.abc import Callable, Sequence
from typing import Final

from engine import pricing
from engine.errors import ModelNotFound, RateLimited, StoreUnavailable, TenantSuspended
from engine.limiting import Admission, Reservation, SpendingRecords
from engine.snapshots import Cell
from engine.turn import NO_END
from engine.types import ChatRequest, Instance, Principal, Usage, Window
from tenants.directory import TenantTable, TenantView
from tenants.handles import Store
from tenants.isolation import Stores
from tenants.limits.corrections import Corrections
from tenants.limits.leases import Leases
from tenants.limits.money import MOST, Purse
from tenants.limits.notices import Warner
from tenants.limits.periods import Calendar
from tenants.limits.quotas import AllowanceTable
from tenants.limits.rebuilding import Rebuilder, UnknownSpending
from tenants.limits.reserving import Ask, Reserver, Taken, limited
from tenants.limits.shares import Held, Share
from tenants.limits.slots import SLOT_LEASE, Slots
from tenants.limits.subjects import Scope, Subjects
from tenants.limits.turn_scripts import ADMIT
from tenants.limits.waiting import due_back
from tenants.resp import Reply
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
    """A turn that counts, with its slots: `held` of this worker's own, and those the store knows by the turn's id."""

    __slots__ = ("_held", "_logs", "_slots", "_taken", "_turn_id", "window")

    def __init__(self, slots: Slots, turn_id: str, held: Held, window: Window | None) -> None:
        self._slots = slots
        self._turn_id = turn_id
        self._held = held
        self._taken: Sequence[tuple[str, str]] = ()
        self._logs: Sequence[tuple[str, bytes]] = ()
        self.window = window

    def took(self, scope: Scope, reply: Reply) -> None:
        turn = scope.turn
        self._taken = [*self._taken, *((scope.tag, key) for key in turn.slot_keys)]
        self._logs = [*self._logs, *zip(turn.keys, reply[4:], strict=False)]
        if turn.logs and (self.window is None or reply[2] < self.window.remaining):
            self.window = Window(reply[1], reply[2], reply[3] / 1000)

    def release(self) -> None:
        if self._held:
            held, self._held = self._held, []
            for places, number in held:
                places.put(number)
        for tag, key in self._taken:
            self._slots.give_back(tag, key, self._turn_id)

    def undo(self, store: Store) -> None:
        """It has not begun."""
        self.release()
        for key, made in self._logs:
            store.send("LREM", key, -1, made)


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
    before; where nobody can say money budgets refuse. `portions` False: every turn asks the store."""

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
        portions: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
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
        name = secrets.token_hex(6)
        self.corrections = Corrections(store)
        self.leases = Leases(self.slots, self.corrections, self.purse, name, clock, lends=portions)
        self._reserver = Reserver(self.leases, self.purse, name)
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
        if everybody is not None and not everybody.subjects:
            everybody = None
        if found is None and everybody is None:
            return UNLIMITED
        scopes = [scope for scope in (found, everybody) if scope is not None and scope.turn.keys]
        now = self._clock()
        shares = [self._shares(scope).turn_share for scope in scopes]
        if _ready(shares, 0, 0, now):
            held, window = _taken(shares, 0, now)
            return Admitted(self.slots, turn_id, held, window)
        admitted = Admitted(self.slots, turn_id, [], None)
        try:
            for scope in scopes:
                await self._admit(scope, admitted, turn_id)
        except BaseException:
            admitted.undo(self.store)
            raise
        return admitted

    def _shares(self, scope: Scope) -> Scope:
        if not scope.known:
            scope.known = True
            scope.turn_share, scope.call_share = self.leases.of_turn(scope), self.leases.of_call(scope)
        return scope

    async def _admit(self, scope: Scope, admitted: Admitted, turn_id: str) -> None:
        """From the store."""
        turn = scope.turn
        if turn.shut is not None:
            raise RateLimited(f"{turn.shut.who} may not use the service.")
        if scope.turn_share is not None:
            scope.turn_share.lease.missed(scope.turn_share, 0, 0, self._clock())
        for again in (False, True):
            reply = await self._ask(scope, turn_id)
            verdict = reply[0]
            if verdict == b"ok":
                admitted.took(scope, reply)
                return
            wait = reply[2] / 1000
            if again or not reply[3]:
                break
            if not await self.leases.all_back(scope.tag, reply[3]):
                wait = min(wait, due_back(reply[3]))
                break
        kind = verdict.decode()
        raise limited((turn.slots if kind == "turns" else turn.logs)[reply[1] - 1], kind, wait)

    async def _ask(self, scope: Scope, turn_id: str) -> Reply:
        turn, slots = scope.turn, self.slots
        riders = slots.riders(scope.tag)
        for key in turn.slot_keys:
            slots.hold(key, turn_id)
        try:
            answer = self.store.run(
                ADMIT,
                [*turn.keys, *(key for key, _ in riders), scope.marks],
                len(turn.logs),
                len(turn.slots),
                turn_id,
                slots.lease_ms,
                *turn.limits,
                *(rider for _, rider in riders),
            )
            slots.arrive(scope.tag, riders, answer)
            reply = await asyncio.shield(answer)
        except BaseException as error:
            for key in turn.slot_keys:
                slots.give_back(scope.tag, key, turn_id, taken=not isinstance(error, StoreUnavailable))
            raise
        if reply[0] != b"ok":
            for key in turn.slot_keys:
                slots.give_back(scope.tag, key, turn_id, taken=False)
        return reply

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
        expected = self._expected(instance, max_tokens) * choices
        tokens = prompt_tokens + expected
        scopes = [scope for scope in (own, everybody) if scope is not None]
        spends = any(scope.spenders for scope in scopes)
        amount = min(pricing.price(instance, prompt_tokens, expected), MOST) if spends else 0
        taken = self._lent(scopes, tokens, amount)
        if taken is None:
            taken = []
            ask = Ask(
                tokens,
                instance,
                lambda of: pricing.price(of, prompt_tokens, self._expected(of, max_tokens) * choices),
                bool(view.cheaper),
            )
            try:
                for scope in scopes:
                    taken.append(await self._reserver.take(scope, ask) if scope.asks else _nothing(scope))
            except BaseException:
                for each in taken:
                    self._reserver.settle(each, 0, 0)
                raise
        bounded = any(each.buckets or each.holds for each in taken)
        return Reserved(self, instance, taken, expected if bounded else NO_END)

    def _lent(self, scopes: list[Scope], tokens: int, amount: int) -> list[Taken] | None:
        """What this worker has of its own. None: it has not."""
        now = self._clock()
        shares = [self._shares(scope).call_share for scope in scopes if scope.asks]
        if not _ready(shares, tokens, amount, now):
            for share in shares:
                if share is not None:
                    share.lease.missed(share, tokens, amount, now)
            return None
        taken = []
        for scope in scopes:
            share = scope.call_share
            if share is None:
                taken.append(_nothing(scope))
                continue
            holds = [share.cash.take(amount)] if share.cash is not None else []
            held = share.take(tokens, now)
            buckets = [(bucket.key, bucket.limit, tokens) for bucket in share.buckets]
            taken.append(Taken(scope, buckets, [], "", holds, held, share.window(now) if buckets else None))
        return taken

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
                for place, (key, limit, amount) in enumerate(each.buckets):
                    self.corrections.add(each.scope.tag, key, limit, tokens)
                    each.buckets[place] = (key, limit, amount + tokens)
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
        self.leases.close()
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


def _ready(shares: list[Share | None], tokens: int, amount: int, now: float) -> bool:
    for share in shares:
        if share is None or not share.ready(tokens, amount, now):
            return False
    return True


def _taken(shares: list[Share | None], tokens: int, now: float) -> tuple[Held, Window | None]:
    """The slots, and the tightest window."""
    held: Held = []
    window = None
    for share in shares:
        if share is not None:
            held += share.take(tokens, now)
            told = share.window(now)
            if told is not None and (window is None or told.remaining < window.remaining):
                window = told
    return held, window
