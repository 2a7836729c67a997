"""What sessions cost: `python -m benchmarks.sessions [--rounds N] [--clients]`.

A turn's part of the session (open with its lease, window, append) by how much the session holds: CPU of the process a
turn, 32 at a time, and the time a turn alone waits for it. Real Valkey on a unix socket, uvloop; the median over the
rounds and the least. `--clients` compares Valkey clients at the same kind of work, each in a process of its own, in the
environment `.venv-clients` that it makes on the first call."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import uvloop

from benchmarks import rows  # first: it sets Django up
from benchmarks.processes import wait_for_port
from clawdbot_site.selftest.ports import free_port
from clawdbot_site.serving import valkey
from clawdbot_site.serving.processes import Child
from engine.snapshots import Cell
from engine.turn import new_turn_id
from engine.types import Answerer, ChatRequest, Instance, Message, Principal
from sessions_app.finding import Finder
from sessions_app.layout import Home
from sessions_app.store import SessionStore
from tenants.directory import TenantTable, TenantView
from tenants.isolation import Stores

ROOT: Final = Path(__file__).resolve().parents[1]
VENV: Final = ROOT / ".venv-clients"
REQUIREMENTS: Final = Path(__file__).with_name("requirements-clients.txt")
TOGETHER: Final = 32
SIZES: Final = (0, 10, 50, 200)  # messages
ANSWERER: Final = Answerer("m", 1, "v1")
TALK: Final = [Message("user", "q" * 330), Message("assistant", "a" * 600)]
WINDOW: Final = Instance(id=1, name="m", context_window=1_000_000)


class Talks:
    """Sessions of one length, each by a user of its own."""

    def __init__(self, store: SessionStore, stores: Stores, messages: int) -> None:
        self._store = store
        self._stores = stores
        self._turns = messages // 2
        self._name = f"long-{messages}"

    def _who(self, number: int) -> Principal:
        name = str(number)
        return Principal(
            tenant_id=1,
            tenant="t",
            kind="member",
            subject=f"member:{name}",
            user=name,
            role="owner",
            scopes=frozenset(),
        )

    async def fill(self) -> None:
        for _ in range(self._turns):
            await asyncio.gather(*(self.turn(number) for number in range(TOGETHER)))

    async def turn(self, number: int) -> None:
        turn_id = new_turn_id(time.time())
        request = ChatRequest(messages=TALK[:1], remember=True, session_id=self._name, create_session=True)
        session = await self._store.open(self._who(number), request, turn_id)
        await self._store.window(session, request.messages, WINDOW)
        await self._store.confirm(session)
        await self._store.append(session, TALK, ANSWERER, turn_id)

    async def shorten(self) -> None:
        """To what it was."""
        store = self._stores.tenant(1)
        for number in range(TOGETHER):
            _, turns = Home(1, str(number)).keys(self._name)
            await (store.call("LTRIM", turns, 0, self._turns - 1) if self._turns else store.call("DEL", turns))

    async def cost(self) -> float:
        """CPU microseconds a turn."""
        began = time.process_time()
        await asyncio.gather(*(self.turn(number) for number in range(TOGETHER)))
        used = time.process_time() - began
        await self.shorten()
        return used / TOGETHER * 1e6

    async def wait(self) -> float:
        """Microseconds a turn waits that is alone."""
        began = time.perf_counter()
        await self.turn(0)
        took = time.perf_counter() - began
        await self.shorten()
        return took * 1e6


async def measure(url: str, rounds: int) -> dict[int, tuple[list[float], list[float]]]:
    """By messages in the session: CPU and waiting, of each round."""
    view = TenantView(id=1, slug="t", name="t", is_active=True, store_database=1)
    tenants = Cell(TenantTable(by_id={1: view}, by_slug={"t": view}))
    stores = Stores([url], tenants)
    store = SessionStore(Finder(stores, tenants, session_ttl=3600))
    talks = {size: Talks(store, stores, size) for size in SIZES}
    figures: dict[int, tuple[list[float], list[float]]] = {size: ([], []) for size in SIZES}
    for each in talks.values():
        await each.fill()
    for turn in range(rounds + 3):
        for size, each in talks.items():
            cost, wait = await each.cost(), await each.wait()
            if turn >= 3:
                figures[size][0].append(cost)
                figures[size][1].append(wait)
    store.stop()
    await stores.close()
    return figures


@contextmanager
def server(*options: str) -> Iterator[str]:
    """The address of a Valkey of its own."""
    folder = Path(tempfile.mkdtemp(prefix="clawdbot-bench-"))
    socket = folder / "valkey.sock"
    command = [str(valkey.binary()), "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)]
    child = Child("valkey", [*command, *options], log=folder / "valkey.log")
    child.start()
    try:
        valkey.wait_until_ready(socket, lambda: child.exit_code is not None)
        yield f"unix://{socket}"
    finally:
        child.ask_to_stop()
        if not child.wait(10.0):
            child.kill()
            child.wait(5.0)
        shutil.rmtree(folder, ignore_errors=True)


def compare_clients(rounds: int) -> None:
    if not (VENV / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        command = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps", "--prefer-binary"]
        subprocess.run([*command, "-r", str(REQUIREMENTS)], check=True)
    figures: dict[str, list[float]] = {name: [] for name in ("ours", "redis-py", "coredis", "valkey-glide")}
    port = free_port()
    with server("--port", str(port), "--bind", "127.0.0.1"):
        wait_for_port(port)
        for _ in range(rounds):
            for name, found in figures.items():
                command = [str(VENV / "bin" / "python"), "-m", "benchmarks.session_clients", name, str(port)]
                environment = {**os.environ, "PYTHONPATH": str(ROOT)}
                done = subprocess.run(
                    command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True, timeout=120
                )
                found.append(float(done.stdout))
    print(f"{'client':14} us of CPU a turn: median, least")
    for name, found in figures.items():
        print(f"{name:14} {statistics.median(found):6.0f} {min(found):6.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--clients", action="store_true")
    options = parser.parse_args()
    if options.clients:
        compare_clients(min(options.rounds, 5))
        return
    assert rows
    with server() as url:
        figures = uvloop.run(measure(url, options.rounds))
    print(f"{'messages':>8}   us of CPU a turn: median, least   us a turn alone waits: median, least")
    for size, (costs, waits) in figures.items():
        middle = statistics.median
        print(f"{size:8} {middle(costs):19.0f} {min(costs):10.0f} {middle(waits):25.0f} {min(waits):10.0f}")


if __name__ == "__main__":
    main()
