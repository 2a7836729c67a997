"""No answer without its record, under kill -9: clients keep a ledger, and it is compared with the journal.

    python -m benchmarks.journal_kill --base-url URL --key KEY --journal FILE --supervisor PID [--rounds 8]

kills every child of PID (the supervisor of the web workers, which starts them again) once a round. Exit 1: an answer
has no record. `manage.py selftest audit` does the same to an instance of its own."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import sys
from pathlib import Path

from clawdbot_site.selftest.ledger import MARK, Found, Ledger, compare, rounds


def journalled(first: Path) -> tuple[dict[str, Found], int]:
    """The marked turns in all files of the journal, and how many intents have no end. Reads the files themselves."""
    turns: dict[str, Found] = {}
    by_mark: dict[str, Found] = {}
    for path in sorted(first.parent.glob(f"{first.stem}*{first.suffix}")):
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            rows = database.execute("SELECT turn_id, kind, state, body FROM compliance_auditentry ORDER BY id")
            for turn_id, kind, state, body in rows:
                found = turns.setdefault(turn_id, Found(turn_id))
                if kind == "intent":
                    for mark in MARK.findall(bytes(body).decode()):
                        by_mark[mark] = found
                else:
                    found.state = state
                    for choice in json.loads(body).get("choices", ()):
                        found.text = choice["message"].get("content") or ""
    return by_mark, sum(not found.state for found in turns.values())


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
