"""No answer without its record: clients keep a ledger of what they were sent, and it is compared with the journal."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import aiohttp

PATIENCE: Final = 30.0  # seconds without a single answer after which a round goes on
MARK: Final = re.compile(r"ledger-[0-9a-f]{32}")


@dataclass(slots=True)
class Line:
    """What one client saw of one turn. `text` is what it was sent of the answer."""

    stream: bool
    first_byte: bool = False
    terminal: bool = False
    text: str = ""


@dataclass
class Ledger:
    """All turns by the mark their question carried, and how the calls ended."""

    lines: dict[str, Line] = field(default_factory=dict)
    refused: int = 0
    cut: int = 0
    ended: int = 0


@dataclass(slots=True)
class Found:
    """What the journal holds of one turn."""

    turn_id: str
    state: str = ""
    text: str = ""


@dataclass
class Verdict:
    """Empty lists: the promise was kept. They hold marks; `open` counts intents without an end (0 after a sweep)."""

    begun: int
    answered: int
    without_intent: list[str]
    without_completion: list[str]
    other_text: list[str]
    open: int

    @property
    def kept(self) -> bool:
        return not (self.without_intent or self.without_completion or self.other_text)

    def __str__(self) -> str:
        return (
            f"answers begun {self.begun}, finished {self.answered}; without intent {len(self.without_intent)}, "
            f"without completion {len(self.without_completion)}, other text {len(self.other_text)}; open {self.open}"
        )


async def play(
    ledger: Ledger, base_url: str, key: str, *, clients: int, stop: asyncio.Event, model: str = "auto"
) -> None:
    """`clients` ask `/v1/chat/completions` in turn, every second call as a stream, through crashes, until `stop`."""
    timeout = aiohttp.ClientTimeout(total=20)
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(base_url, headers=headers, timeout=timeout) as session:
        await asyncio.gather(*(_client(ledger, session, number, stop, model) for number in range(clients)))


async def _client(ledger: Ledger, session: aiohttp.ClientSession, number: int, stop: asyncio.Event, model: str) -> None:
    while not stop.is_set():
        number += 1
        mark, line = f"ledger-{uuid.uuid4().hex}", Line(stream=number % 2 == 0)
        ledger.lines[mark] = line
        body = {"model": model, "stream": line.stream, "messages": [{"role": "user", "content": f"Say {mark}"}]}
        try:
            async with session.post("/v1/chat/completions", json=body) as response:
                if response.status != 200:
                    ledger.refused += 1
                    await asyncio.sleep(0.05)
                    continue
                await (_read_stream if line.stream else _read_whole)(response, line)
        except (aiohttp.ClientError, OSError, TimeoutError):
            ledger.cut += 1
            await asyncio.sleep(0.02)
        ledger.ended += line.terminal


async def _read_stream(response: aiohttp.ClientResponse, line: Line) -> None:
    async for raw in response.content:
        line.first_byte = True
        if raw.strip() == b"data: [DONE]":
            line.terminal = True
        elif raw.startswith(b"data: "):
            for choice in json.loads(raw[6:]).get("choices", ()):
                line.text += choice["delta"].get("content") or ""


async def _read_whole(response: aiohttp.ClientResponse, line: Line) -> None:
    body = b""
    async for piece in response.content.iter_any():
        line.first_byte = True
        body += piece
    line.text = json.loads(body)["choices"][0]["message"]["content"]
    line.terminal = True


def compare(ledger: Ledger, by_mark: Mapping[str, Found], open_turns: int) -> Verdict:
    """Every first byte must have its intent, every terminal event its completion with the very text."""
    begun = {mark: line for mark, line in ledger.lines.items() if line.first_byte}
    ended = {mark: line for mark, line in begun.items() if line.terminal}
    recorded = {mark: by_mark[mark] for mark in ended if mark in by_mark and by_mark[mark].state == "completed"}
    return Verdict(
        begun=len(begun),
        answered=len(ended),
        without_intent=[mark for mark in begun if mark not in by_mark],
        without_completion=[mark for mark in ended if mark not in recorded],
        other_text=[mark for mark, found in recorded.items() if found.text != ended[mark].text],
        open=open_turns,
    )


async def rounds(
    *,
    base_url: str,
    key: str,
    crash: Callable[[], Awaitable[None]],
    count: int,
    seconds: float,
    clients: int = 64,
    answers: int = 0,
    model: str = "auto",
) -> Ledger:
    """Plays `count` rounds of `seconds`, and of `answers` at least; `crash` kills the server in the middle of the load
    and has it back."""
    ledger, stop = Ledger(), asyncio.Event()
    playing = asyncio.create_task(play(ledger, base_url, key, clients=clients, stop=stop, model=model))
    for _ in range(count):
        wanted = ledger.ended + max(clients, answers)
        quiet_since, ended = time.monotonic(), ledger.ended
        while ledger.ended < wanted and time.monotonic() < quiet_since + PATIENCE:
            await asyncio.sleep(0.02)  # it answers again
            if ledger.ended > ended:
                quiet_since, ended = time.monotonic(), ledger.ended
        await asyncio.sleep(seconds)
        await crash()
    stop.set()
    await playing
    return ledger
