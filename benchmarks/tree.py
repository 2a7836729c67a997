"""How fast the journal is folded and verified: `python -m benchmarks.tree [--entries 200000] [--rounds 3]`.

Fills a journal in a temporary folder (or VAR_DIR) with turns of 330 bytes in and 600 out, then folds it from the start
and verifies it, in CPU time of this process, the best of the rounds; and says what the tree takes on the disk."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable

os.environ.setdefault("VAR_DIR", tempfile.mkdtemp(prefix="clawdbot-bench-"))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clawdbot_site.settings")

import django  # noqa: E402

django.setup()

from django.core.files.storage import default_storage  # noqa: E402
from django.db import connections  # noqa: E402

from benchmarks.rows import migrate  # noqa: E402
from compliance.database import ALIAS, first_file  # noqa: E402
from compliance.journal import slots  # noqa: E402
from compliance.journal.records import completion_row, intent_row  # noqa: E402
from compliance.journal.signing import platform_signer  # noqa: E402
from compliance.journal.sqlite import SqliteStore  # noqa: E402
from compliance.tree import exporting  # noqa: E402
from compliance.tree.checkpoints import Checkpointer  # noqa: E402
from compliance.tree.database import tree_database  # noqa: E402
from compliance.tree.folding import Folder  # noqa: E402
from compliance.tree.leading import lead  # noqa: E402
from compliance.tree.leaves import leaves  # noqa: E402
from compliance.tree.sources import Sources  # noqa: E402
from compliance.tree.verifier import check_export  # noqa: E402
from compliance.tree.verifying import verify  # noqa: E402
from engine.entries import Completion, Intent  # noqa: E402
from engine.turn import new_turn_id  # noqa: E402
from engine.types import Choice, Message, Usage  # noqa: E402

TARGET = 200_000  # entries verified in a second of one core
QUESTION = [Message(role="user", content="x" * 330)]
ANSWER = [Choice(message=Message(role="assistant", content="y" * 600), finish_reason="stop")]
TENANTS = 4


def fill(entries: int) -> None:
    first = first_file()
    assert first is not None
    store = SqliteStore(slots.claim(first), "bench")
    store.open()
    now, rows = time.time() - entries / 100 - 60, []  # what happened just now is not folded yet
    for number in range(entries // 2):
        at = now + number / 50
        turn, tenant_id = new_turn_id(at), 1 + number % TENANTS
        asked = Intent(
            turn_id=turn, tenant_id=tenant_id, at=at, edge="openai", request_id="req-" + turn, subject="key:1",
            user="key:1", key_id=1, model="gpt-3.5-turbo", instance="mock", rules=["small"], messages=QUESTION,
        )  # fmt: skip
        usage = Usage(prompt_tokens=80, completion_tokens=150)
        ended = Completion(turn_id=turn, tenant_id=tenant_id, at=at + 1, state="completed", choices=ANSWER, usage=usage)
        rows += [intent_row(asked, "bench"), completion_row(ended, "bench")]
        if len(rows) >= 256:
            store.append(rows)
            rows = []
    store.append(rows or [])
    store.close(finished=True)


def best(rounds: int, work: Callable[[], object]) -> float:
    """CPU seconds of the fastest round."""
    took = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return min(took)


def fold() -> None:
    leader = lead()
    assert leader is not None
    with leader, Sources() as sources:
        with connections[leader.alias].cursor() as cursor:
            for table in ("treerun", "treenode", "treehead", "treecursor", "checkpoint"):
                cursor.execute(f"DELETE FROM compliance_{table}")
        folder = Folder(leader.alias)
        while folder.fold(sources.all()):
            pass
        Checkpointer(leader.alias, platform_signer(), default_storage, lambda line: None).work()


def hash_all() -> None:
    with Sources() as sources:
        for _ in leaves(sources.all()[0].entries()):
            pass


def check() -> None:
    found = verify(platform_signer().keys, default_storage)
    assert found.holds, found.findings[:3]


def tree_bytes() -> int:
    """Of the tree's tables, their indexes included."""
    with tree_database() as alias, connections[alias].cursor() as cursor:
        cursor.execute("VACUUM")
        cursor.execute("PRAGMA page_count")
        (pages,) = cursor.fetchone()
        cursor.execute("PRAGMA page_size")
        return int(pages * cursor.fetchone()[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    migrate()
    fill(options.entries)
    connections[ALIAS].close()
    entries = options.entries
    folding = best(options.rounds, fold)
    print(f"{entries} entries of {TENANTS} tenants")
    print(f"folded        {entries / folding:12,.0f} a second of one core ({1e6 * folding / entries:.2f} us each)")
    hashing = best(options.rounds, hash_all)
    print(f"read, hashed  {entries / hashing:12,.0f}")
    verifying = best(options.rounds, check)
    print(f"verified      {entries / verifying:12,.0f}   target {TARGET:,}")
    with tree_database() as alias:
        lines = [line.encode() for line in exporting.export(alias, 1)]
    keys = platform_signer().keys
    exported = best(options.rounds, lambda: check_export(lines, keys))
    print(f"an export     {entries / TENANTS / exported:12,.0f}   verified from its lines")
    print(f"the tree takes {tree_bytes() / entries:.1f} bytes an entry")


if __name__ == "__main__":
    main()
