"""A limiter that is open unless a test says otherwise."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

from engine.types import ChatRequest, Instance, Principal, Usage, Window


@dataclass
class Slot:
    limiter: OpenLimiter
    released: bool = False
    used: Usage | None = None
    room: int = sys.maxsize
    window: Window | None = None

    async def extend(self) -> bool:
        """By as much again, while the limiter has `extensions`."""
        if not self.limiter.extensions:
            return False
        self.limiter.extensions -= 1
        self.room *= 2
        return True

    def release(self) -> None:
        if not self.released:
            self.released = True
            self.limiter.open -= 1

    def settle(self, usage: Usage) -> None:
        if self.used is None:
            self.used = usage
            self.limiter.settled.append(usage)


class OpenLimiter:
    """`refusal` is of `admit`, `refusals` of `reserve` in order, None: not that one; `gate` holds reservations."""

    def __init__(self) -> None:
        self.open = 0
        self.settled: list[Usage] = []
        self.reserved: list[Slot] = []
        self.refusal: BaseException | None = None
        self.refusals: list[BaseException | None] = []
        self.gate: asyncio.Event | None = None
        self.room = sys.maxsize  # of every reservation
        self.extensions = 0

    async def admit(self, principal: Principal, request: ChatRequest, turn_id: str) -> Slot:
        if self.refusal is not None:
            raise self.refusal
        self.open += 1
        return Slot(self)

    async def reserve(
        self,
        principal: Principal,
        instance: Instance,
        prompt_tokens: int,
        max_tokens: int | None,
        *,
        model: str = "",
        choices: int = 1,
    ) -> Slot:
        if self.gate is not None:
            await self.gate.wait()
        if self.refusals and (refusal := self.refusals.pop(0)) is not None:
            raise refusal
        self.reserved.append(Slot(self, room=self.room))
        return self.reserved[-1]
