"""What sealing costs an entry: `python -m benchmarks.sealing` prints microseconds of CPU, the least of several rounds.

`plain` is the entry as one JSON, `split` as clear and text, `sealed` both and the seal with a key that is at hand; a
`new user` also needs a key, wrapped by the tenant's. `opened` is a reader's share, its key at hand, without queries."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable

os.environ.setdefault("VAR_DIR", tempfile.mkdtemp(prefix="clawdbot-bench-"))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clawdbot_site.settings")

import django  # noqa: E402

django.setup()

from benchmarks.journal import entries  # noqa: E402
from benchmarks.journal_kill import Entry  # noqa: E402
from compliance.journal import records  # noqa: E402
from compliance.sealing import splitting  # noqa: E402
from compliance.sealing.opening import Opener  # noqa: E402
from compliance.sealing.sealer import Sealer  # noqa: E402
from engine.snapshots import Cell  # noqa: E402
from tenants.keyring import TenantKeys  # noqa: E402

TURNS = 2_000
ROUNDS = 15
BATCH = 64  # rows at once, as the writer's thread has them under load


def least(work: Callable[[], object]) -> float:
    """Microseconds of CPU an entry; `work` does two a turn."""
    best = float("inf")
    for _ in range(ROUNDS):
        before = time.process_time()
        work()
        best = min(best, time.process_time() - before)
    return best / (2 * TURNS) * 1e6


def main() -> None:
    turns = [entries(False) for _ in range(TURNS)]
    users = {intent.turn_id: intent.user for intent, _ in turns}
    keys = TenantKeys.fresh()
    sealer, empty = Sealer(Cell({1: keys})), Sealer(Cell({1: keys}))

    def plain() -> list[records.Row]:
        return [row for i, c in turns for row in (records.intent_row(i, "w"), records.completion_row(c, "w"))]

    def split() -> list[records.Row]:
        return [row for i, c in turns for row in (splitting.intent_row(i, "w"), splitting.completion_row(c, "w"))]

    rows = split()
    batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]

    def sealed() -> list[records.Row]:
        return [row for batch in batches for row in sealer.seal(batch, users)[0]]

    def strange() -> None:
        for number, batch in enumerate(batches):
            empty.seal(
                [(*row[:7], f"{number}-{at}-{time.perf_counter()}", *row[8:]) for at, row in enumerate(batch)], {}
            )

    _, (key,) = sealer.seal(rows[:1], users)
    sealer.durable([key])
    stored = [Entry(*row[:4], row[11], row[12]) for row in sealed()]
    opener = Opener(lambda tenant_id: keys, lambda tenant_id, ids: {key[0]: key[3]})
    costs = {"plain": least(plain), "split": least(split), "sealing": least(sealed), "new user": least(strange)}
    costs["opened"] = least(lambda: opener.open(stored))
    for name, cost in costs.items():
        print(f"{name:10}{cost:7.2f} us an entry")
    print(f"{'more':10}{costs['split'] + costs['sealing'] - costs['plain']:7.2f} us an entry than in the clear")
    sizes = sum(len(row[-1]) for row in plain()), sum(len(row[-1]) for row in sealed())
    print(f"bodies {sizes[0] / len(rows):.0f} bytes in the clear, {sizes[1] / len(rows):.0f} sealed")


if __name__ == "__main__":
    main()
