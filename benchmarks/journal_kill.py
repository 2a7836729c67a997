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
from typing import NamedTuple

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clawdbot_site.settings")
django.setup()

from clawdbot_site.selftest.ledger import MARK, Found, Ledger, compare, rounds  # noqa: E402
from compliance.journal import tables  # noqa: E402
from compliance.sealing.opening import Opener  # noqa: E402
from tenants import stored_keys  # noqa: E402
from tenants.keyring import KeysOf, TenantKeys  # noqa: E402
from tenants.secrets import Vault  # noqa: E402


class Entry(NamedTuple):
    turn_id: str
    kind: str
    number: int
    tenant_id: int
    state: str
    body: bytes


def journalled(first: Path, keys_of: KeysOf = stored_keys.stored) -> tuple[dict[str, Found], int]:
    """The marked turns in all files of the journal, and how many intents have no end. Reads the files themselves; what
    is sealed in them opens with the tenants' keys."""
    turns: dict[str, Found] = {}
    by_mark: dict[str, Found] = {}
    for path in sorted(first.parent.glob(f"{first.stem}*{first.suffix}")):
        if not tables.migrated(path):  # the sequencer is about to make it
            continue
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            keys = dict(database.execute("SELECT id, wrapped FROM compliance_subjectkey").fetchall())
            opener = Opener(
                keys_of, lambda tenant_id, ids, keys=keys: {each: keys[each] for each in ids if each in keys}
            )
            rows = database.execute(
                f"SELECT {', '.join(Entry._fields)} FROM compliance_auditentry "  # noqa: S608
                "WHERE kind IN ('intent', 'completion') ORDER BY id"
            )
            entries = [Entry(*row) for row in rows]
        for entry, opened in zip(entries, opener.open(entries), strict=True):
            found = turns.setdefault(entry.turn_id, Found(entry.turn_id))
            if entry.kind == "intent":
                for mark in MARK.findall(opened.json.decode()):
                    by_mark[mark] = found
            elif entry.kind == "completion":
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
