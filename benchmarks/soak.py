"""Long runs by name: `python -m benchmarks.soak NAME`, without a name the list. Exit 0: what was promised holds.

Each works in a folder of its own; what starts the product has everything on and stops it again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable

from benchmarks.environment import Environment
from benchmarks.journal_kill import Ledger, compare, journalled, rounds
from benchmarks.processes import children

SWEEP = 10.0  # seconds until the next worker has ended what a dead one left open


def audit_kill(count: int = 8, clients: int = 64, seconds: float = 3.0) -> bool:
    """kill -9 of the web worker under 64 clients, 8 rounds: no answer without its journal entries."""
    with Environment() as running:

        async def crash() -> None:
            assert running.web.pid is not None
            for pid in children(running.web.pid):
                os.kill(pid, signal.SIGKILL)

        async def play() -> Ledger:
            ledger = await rounds(
                base_url=f"http://127.0.0.1:{running.port}",
                key=running.keys["full"],
                crash=crash,
                count=count,
                seconds=seconds,
                clients=clients,
            )
            await asyncio.sleep(SWEEP)
            return ledger

        ledger = asyncio.run(play())
        verdict = compare(ledger, *journalled(running.journal))
    print(f"{count} rounds, {clients} clients: {verdict}; calls cut {ledger.cut}, refused {ledger.refused}")
    return verdict.kept and verdict.answered > 0 and verdict.open == 0


def audit_tamper(edits: int = 10_000) -> bool:
    """10,000 random edits of a journal and its trees: `audit verify` finds every one."""
    command = [sys.executable, "-m", "benchmarks.audit_tamper", "--edits", str(edits)]
    return subprocess.run(command).returncode == 0


RUNS: dict[str, Callable[[], bool]] = {"audit-kill": audit_kill, "audit-tamper": audit_tamper}


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in RUNS:
        for name, run in RUNS.items():
            print(f"{name:16} {run.__doc__}")
        return 0 if not arguments else 2
    return 0 if RUNS[arguments[0]]() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
