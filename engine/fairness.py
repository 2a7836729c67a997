"""Whose turn it is among those who wait: deficit round robin over estimated tokens, with weights.

M. Shreedhar and G. Varghese, "Efficient Fair Queuing Using Deficit Round Robin", SIGCOMM 1995. Tenants that wait stand
in a ring. At each visit a tenant gains its quantum times its weight in deficit, and is served, first come first served,
as long as what its next turn costs is covered; what is left counts at the next visit, if any of it still waits then.
So over time tokens, not turns, go by weights, and a tenant that asks for little waits for one round, however many turns
another one has in line. No I/O, no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from math import ceil
from typing import Final, Generic, TypeVar

T = TypeVar("T")

QUANTUM: Final = 64.0  # tokens a visit: less than all but the smallest turns, so that nobody gets many in a row by it


class Flow(Generic[T]):
    """One tenant's line. `total` is the cost of all in it."""

    __slots__ = ("deficit", "line", "total", "weight")

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self.line: deque[tuple[float, T]] = deque()
        self.deficit = 0.0
        self.total = 0.0


class DeficitRoundRobin(Generic[T]):
    """`owner` is a tenant's id. Every cost is positive, every weight at least 1."""

    __slots__ = ("_flows", "_quantum", "_ring", "_visited", "size")

    def __init__(self, quantum: float = QUANTUM) -> None:
        self._quantum = quantum
        self._flows: dict[int, Flow[T]] = {}
        self._ring: deque[int] = deque()
        self._visited = False  # the first of the ring has its quantum
        self.size = 0

    def __len__(self) -> int:
        return self.size

    def push(self, owner: int, weight: float, cost: float, item: T) -> None:
        flow = self._flows.get(owner)
        if flow is None:
            flow = self._flows[owner] = Flow(weight)
            self._ring.append(owner)
        flow.weight = weight
        flow.line.append((cost, item))
        flow.total += cost
        self.size += 1

    def pop(self, may: Callable[[int], bool] | None = None) -> T | None:
        """The next, among those of tenants that `may` be served; None: there is nobody."""
        eligible = len(self._ring) if may is None else sum(map(may, self._ring))
        if not eligible:
            return None
        lacking = 0
        while True:
            owner = self._ring[0]
            if may is not None and not may(owner):
                self._go_on()
                continue
            flow = self._flows[owner]
            if not self._visited:
                self._visited = True
                flow.deficit += self._quantum * flow.weight
            if flow.line[0][0] <= flow.deficit:
                return self._served(owner, flow)
            lacking += 1
            self._go_on()
            if lacking == eligible:
                lacking = 0
                self._skip_rounds(may)

    def remove(self, owner: int, item: T) -> bool:
        """False: it is not here any more."""
        flow = self._flows.get(owner)
        if flow is None:
            return False
        for place, (cost, waiting) in enumerate(flow.line):
            if waiting is item:
                del flow.line[place]
                self._shrink(owner, flow, cost)
                return True
        return False

    def newest(self, owner: int) -> T:
        return self._flows[owner].line[-1][1]

    def waiting(self, owner: int) -> int:
        flow = self._flows.get(owner)
        return len(flow.line) if flow is not None else 0

    def lengths(self) -> dict[int, int]:
        """Turns that wait, by tenant."""
        return {owner: len(flow.line) for owner, flow in self._flows.items()}

    def ahead(self, owner: int, weight: float, cost: float) -> float:
        """What is served until a turn that joined now had been, itself included: of each other tenant what its weight
        gives it meanwhile, and no more than it has in line."""
        own = self._flows.get(owner)
        mine = cost + (own.total if own is not None else 0.0)
        others = (min(flow.total, mine * flow.weight / weight) for other, flow in self._flows.items() if other != owner)
        return mine + sum(others)

    def __iter__(self) -> Iterator[T]:
        return (item for flow in self._flows.values() for _, item in flow.line)

    def _served(self, owner: int, flow: Flow[T]) -> T:
        cost, item = flow.line.popleft()
        flow.deficit -= cost
        self._shrink(owner, flow, cost)
        return item

    def _shrink(self, owner: int, flow: Flow[T], cost: float) -> None:
        flow.total -= cost
        self.size -= 1
        if not flow.line:
            if self._ring[0] == owner:
                self._visited = False
            self._ring.remove(owner)
            del self._flows[owner]

    def _go_on(self) -> None:
        self._ring.rotate(-1)
        self._visited = False

    def _skip_rounds(self, may: Callable[[int], bool] | None) -> None:
        """Nobody could be served in a whole round: all the rounds that would pass like it, at once."""
        flows = [flow for owner, flow in self._flows.items() if may is None or may(owner)]
        rounds = min(ceil((flow.line[0][0] - flow.deficit) / (self._quantum * flow.weight)) for flow in flows) - 1
        for flow in flows:
            flow.deficit += rounds * self._quantum * flow.weight
