"""Money: set aside before a call, more of it as the answer grows, and charged when the call is over."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from engine.errors import BudgetExceeded, StoreUnavailable
from engine.types import Instance
from tenants.handles import Store
from tenants.limits import scripts
from tenants.limits.periods import Calendar, Period
from tenants.limits.rebuilding import Rebuilder, place
from tenants.limits.slots import failed
from tenants.limits.subjects import Scope, Subject, text_of
from tenants.resp import Reply

log = logging.getLogger(__name__)

RIDE: Final = 0.001  # seconds that charges wait for others
MOST: Final = 10**14  # millionths a call is charged at most: a larger cost is a mistake of who counted
KEPT: Final = 1000  # batches of charges that could not be delivered

Tell = Callable[[Scope, list[Reply]], None]
Word = str | int


class Charges(msgspec.Struct):
    """What turns of one scope have cost since the last batch left."""

    scope: Scope
    made: float
    era: str
    costs: defaultdict[str, int]
    holds: defaultdict[str, int]


class Purse:
    """One a process. `tell` is handed what budgets passed four fifths or their end."""

    def __init__(self, store: Store, rebuilder: Rebuilder, calendar: Calendar, tell: Tell) -> None:
        self.store = store
        self._calendar = calendar
        self._tell = tell
        self.rebuilder = rebuilder
        self._waiting: dict[str, Charges] = {}
        self._kept: deque[Charges] = deque(maxlen=KEPT)
        self._departure: asyncio.TimerHandle | None = None
        self.departures = 0  # so often charges have left
        self.noting: set[str] = set()  # hash tags
        self.on_loss: Callable[[str], None] = lambda tag: None  # what was spent in this tag is not known any more

    def periods(self, scope: Scope) -> tuple[Period, Period]:
        return self._calendar.now(scope.zone)

    def keys(self, scope: Scope) -> list[str]:
        """Of the day's counts, the month's, and what is set aside."""
        day, month = self.periods(scope)
        return [place(scope, day), place(scope, month), scope.held]

    @property
    def generation(self) -> int:
        return int(self._calendar.time() * 1000) // scripts.HOLD_MS

    def note(self, scope: Scope) -> None:
        """Somebody in the scope has a budget. Counts that stopped when nobody had are good for nothing."""
        self.noting.add(scope.tag)

    def stop_noting(self, scope: Scope) -> None:
        if scope.tag in self.noting:
            self.noting.discard(scope.tag)
            self.store.send("UNLINK", self.keys(scope)[0])
            self.store.send("UNLINK", self.keys(scope)[1])

    async def extend(self, scope: Scope, amount: int) -> tuple[str, int]:
        """What could be set aside beside, up to `amount`, and the generation in which. Raises StoreUnavailable."""
        for _ in range(2):
            generation = self.generation
            answer = self.store.run(
                scripts.EXTEND, self.keys(scope), self.rebuilder.era(scope), generation, amount, *scope.money
            )
            try:
                reply = await asyncio.shield(answer)
            except asyncio.CancelledError:
                answer.add_done_callback(partial(self._refund, scope, generation))
                raise
            granted = int(reply[0])
            if reply[2]:
                self.rebuilder.again(scope, *self.periods(scope))
            if granted >= 0:
                return hold(reply[1], generation), granted
            self.on_loss(scope.tag)
            await self.rebuilder.known(scope, *self.periods(scope))
        raise StoreUnavailable(retry_after=1.0)

    def _refund(self, scope: Scope, generation: int, answer: asyncio.Future[Reply]) -> None:
        """Its turn was gone before the answer came."""
        if not failed(answer) and (granted := int(answer.result()[0])) > 0:
            self.charge(scope, 0, [(hold(answer.result()[1], generation), granted)])

    def charge(self, scope: Scope, cost: int, holds: list[tuple[str, int]]) -> None:
        """A call is over. `holds` are amounts that were set aside for it, each by the name of `hold`."""
        if not (cost and scope.charged) and not holds:
            return
        waiting = self._waiting.get(scope.tag)
        if waiting is None:
            made = asyncio.get_running_loop().time()
            waiting = Charges(scope, made, self.rebuilder.era(scope), defaultdict(int), defaultdict(int))
            self._waiting[scope.tag] = waiting
        elif waiting.scope is not scope and waiting.scope.subjects != scope.subjects:
            waiting.scope = _joined(waiting.scope, scope)
        for name in scope.charged:
            waiting.costs[name] += cost
        for generation, amount in holds:
            for subject in scope.spenders:
                waiting.holds[f"{generation}/{subject.name}"] += amount
        if self._departure is None:
            self._departure = asyncio.get_running_loop().call_later(RIDE, self.depart)

    @property
    def waits(self) -> bool:
        """Whether charges have not left yet."""
        return bool(self._waiting or self._kept)

    def depart(self) -> None:
        """Sends what waits."""
        if self._departure is not None:
            self._departure.cancel()
            self._departure = None
        self.departures += 1
        leaving, self._waiting = [*self._kept, *self._waiting.values()], {}
        self._kept.clear()
        for charges in leaving:
            self._send(charges)

    def _send(self, charges: Charges) -> None:
        scope = charges.scope
        limits = {subject.name: subject.quota for subject in scope.subjects}
        words: list[Word] = []
        for name, cost in charges.costs.items():
            quota = limits.get(name)
            words += [name, cost, text_of(quota.day if quota else None), text_of(quota.month if quota else None)]
        for field, amount in charges.holds.items():
            life, _, name = field.partition("|")
            words += [name, amount, life]
        age = int((asyncio.get_running_loop().time() - charges.made) * 1000)
        day, month, held = self.keys(scope)
        answer = self.store.run(
            scripts.CHARGE,
            [day, month, held, f"{day}:late", f"{month}:late"],
            charges.era,
            age,
            len(charges.costs),
            *words,
        )
        answer.add_done_callback(lambda done: self._charged(charges, done))

    def _charged(self, charges: Charges, answer: asyncio.Future[Reply]) -> None:
        if answer.cancelled() or (error := answer.exception()) is not None:
            if not answer.cancelled():
                log.warning("what turns have cost could not be noted: %r", error)
            if len(self._kept) == KEPT:
                log.error("charges of %s are given up; they are on record", self._kept[0].scope.tag)
            self._kept.append(charges)
            self.on_loss(charges.scope.tag)
            return
        lost, *told = answer.result()
        if lost:
            self.on_loss(charges.scope.tag)
        if told:
            self._tell(charges.scope, told)

    def refusal(self, scope: Scope, subjects: list[Subject], reply: Reply, refused: Refused) -> BudgetExceeded:
        """Of a turn for which there is no room. `reply` is the script's."""
        left, places = int(reply[1]), [int(number) for number in reply[3:]]
        short = [(subjects[number - 1], kind) for number, kind in zip(places[::2], places[1::2], strict=True)]
        periods = self.periods(scope)
        subject, kind = max(short, key=lambda each: periods[each[1] - 1].ends)
        limit = (subject.quota.day if kind == 1 else subject.quota.month) or 0
        period = periods[kind - 1]
        if refused.amount > limit:
            said, wait = (
                f"This call may cost {money(refused.amount)}; {_lower(subject.who)} may spend {money(limit)}",
                None,
            )
            message = f"{said} a {period.kind}. Ask for fewer tokens."
        else:
            message = f"{subject.who} may spend {money(limit)} a {period.kind}."
            wait = max(1.0, period.ends - self._calendar.time())
        affords = None
        if all(subject.quota.cheaper if subject.quota.cheaper is not None else refused.cheaper for subject, _ in short):
            affords = lambda instance: refused.price(instance) <= max(0, left)  # noqa: E731
        error = BudgetExceeded(message, retry_after=wait, affords=affords)
        error.limit = period.kind
        return error


class Refused(msgspec.Struct, frozen=True):
    """The call that was to be paid for: its `amount`, what it would be at another instance, and whether its tenant
    wants that."""

    amount: int
    price: Callable[[Instance], int]
    cheaper: bool


def hold(life: bytes, generation: int) -> str:
    """Names when something was set aside: in which life of the hash, and when."""
    return f"{life.decode()}|{generation}"


def money(amount: int) -> str:
    """Millionths as people write them."""
    whole, rest = divmod(amount, 1_000_000)
    return f"{whole}.{rest:06}".rstrip("0").rstrip(".") if rest else str(whole)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _joined(one: Scope, other: Scope) -> Scope:
    """The limits of both."""
    known = {subject.name: subject for subject in (*one.subjects, *other.subjects)}
    return Scope(other.tag, other.zone, other.tenant_id, tuple(known.values()), other.charged)
