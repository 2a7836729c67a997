"""No answer without its record, under kill -9: clients keep a ledger, and it is compared with the journal.

    python -m benchmarks.journal_kill --base-url URL --key KEY --journal FILE --supervisor PID [--rounds 8]

kills every child of PID (the supervisor of the web workers, which starts them again) once a round. Exit 1: an answer
has no record. As functions: `play` (clients against a server until told to stop), `journalled`, `compare`, `rounds`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import signal
import sqlite3
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import aiohttp
import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clawdbot_site.settings")
django.setup()

from compliance.sealing.opening import Opener  # noqa: E402
from tenants import stored_keys  # noqa: E402
from tenants.keyring import KeysOf, TenantKeys  # noqa: E402
from tenants.secrets import Vault  # noqa: E402

MARK = re.compile(r"ledger-[0-9a-f]{32}")


@dataclass
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


@dataclass
class Found:
    """What the journal holds of one turn."""

    turn_id: str
    state: str = ""
    text: str = ""


class Entry(NamedTuple):
    turn_id: str
    kind: str
    number: int
    tenant_id: int
    state: str
    body: bytes


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


def journalled(first: Path, keys_of: KeysOf = stored_keys.stored) -> tuple[dict[str, Found], int]:
    """The marked turns in all files of the journal, and how many intents have no end. Reads the files themselves; what
    is sealed in them opens with the tenants' keys."""
    turns: dict[str, Found] = {}
    by_mark: dict[str, Found] = {}
    for path in sorted(first.parent.glob(f"{first.stem}*{first.suffix}")):
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            keys = dict(database.execute("SELECT id, wrapped FROM compliance_subjectkey").fetchall())
            opener = Opener(keys_of, lambda tenant_id, ids, keys=keys: {each: keys[each] for each in ids})
            rows = database.execute(f"SELECT {', '.join(Entry._fields)} FROM compliance_auditentry ORDER BY id")  # noqa: S608
            entries = [Entry(*row) for row in rows]
        for entry, opened in zip(entries, opener.open(entries), strict=True):
            found = turns.setdefault(entry.turn_id, Found(entry.turn_id))
            if entry.kind == "intent":
                for mark in MARK.findall(opened.json.decode()):
                    by_mark[mark] = found
            else:
                found.state = entry.state
                for choice in json.loads(opened.json).get("choices", ()):
                    found.text = choice["message"].get("content") or ""
    return by_mark, sum(not found.state for found in turns.values())


def keys_in(folder: Path) -> KeysOf:
    """The tenants' keys of a product in a folder of its own, on SQLite and with the master key it made itself."""
    vault = Vault([(folder / "master_key").read_text(encoding="utf-8").strip()])
    with contextlib.closing(sqlite3.connect(f"{(folder / 'db.sqlite3').absolute().as_uri()}?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT tenant_id, number, sealed FROM tenants_tenantkey ORDER BY number").fetchall()
    found: dict[int, list[tuple[bytes, bytes]]] = {}
    for tenant_id, number, sealed in rows:
        plain = vault.open(sealed, tenant_id=tenant_id, row_id=number, purpose=stored_keys.PURPOSE)
        found.setdefault(tenant_id or 0, []).append(stored_keys.parted(plain))
    return {owner: TenantKeys(both[0][0], [each[1] for each in both]) for owner, both in found.items()}.get


def compare(ledger: Ledger, by_mark: dict[str, Found], open_turns: int) -> Verdict:
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
    model: str = "auto",
) -> Ledger:
    """Plays `count` rounds of `seconds`; `crash` kills the server in the middle of the load and has it back."""
    ledger, stop = Ledger(), asyncio.Event()
    playing = asyncio.create_task(play(ledger, base_url, key, clients=clients, stop=stop, model=model))
    for _ in range(count):
        before = sum(line.terminal for line in ledger.lines.values())
        until = time.monotonic() + 30
        while sum(line.terminal for line in ledger.lines.values()) < before + clients and time.monotonic() < until:
            await asyncio.sleep(0.02)  # it answers again
        await asyncio.sleep(seconds)
        await crash()
    stop.set()
    await playing
    return ledger


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base-url", default="http://127.0.0.1:8000")
    parser.add_argument("--key", required=True)
    parser.add_argument("--journal", type=Path, default=Path("var/journal/journal.sqlite3"))
    parser.add_argument("--supervisor", type=int, required=True, help="the process whose children are killed")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3.0)
    asked = parser.parse_args()

    async def crash() -> None:
        for pid in children(asked.supervisor):
            os.kill(pid, signal.SIGKILL)

    async def run() -> Ledger:
        ledger = await rounds(
            base_url=asked.base_url,
            key=asked.key,
            crash=crash,
            count=asked.rounds,
            seconds=asked.seconds,
            clients=asked.clients,
            model=asked.model,
        )
        await asyncio.sleep(10)  # the next worker, or a sweeper, ends what was left open
        return ledger

    ledger = asyncio.run(run())
    verdict = compare(ledger, *journalled(asked.journal))
    print(f"{verdict}; cut {ledger.cut}, refused {ledger.refused}")
    return 0 if verdict.kept and verdict.begun else 1


if __name__ == "__main__":
    sys.exit(main())
