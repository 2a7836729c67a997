"""What counting usage costs, and reading it: `python -m benchmarks.usage [batches] [postgresql] [rows=1000000]`.

Writing: the same batches of completions into the same database, with the sums and without them, turn about, so that who
else uses the machine bears on both alike; the figure is the ratio of the medians. Reading: so many of the finer rows of
one tenant in 30 days, as 400,000 keys leave them, and how long each question of an overview takes."""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("VAR_DIR", tempfile.mkdtemp(prefix="clawdbot-bench-"))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clawdbot_site.settings")

from clawdbot_site.selftest.postgres import PostgresServer  # noqa: E402

SERVER = PostgresServer(Path(os.environ["VAR_DIR"]) / "postgres")
if "postgresql" in sys.argv[1:]:
    SERVER.start()
    os.environ["JOURNAL_URL"] = SERVER.database("journal")

import django  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connections, transaction  # noqa: E402

from compliance.database import first_file  # noqa: E402
from compliance.journal import copying, slots, sqlite  # noqa: E402
from compliance.journal.answering import address_of  # noqa: E402
from compliance.journal.postgres import PostgresStore  # noqa: E402
from compliance.journal.records import COMPLETION, Row  # noqa: E402
from compliance.journal.sqlite import SqliteStore  # noqa: E402
from compliance.journal.store import Store  # noqa: E402
from compliance.models import UsageRow  # noqa: E402
from compliance.sealing.sealer import Sealer  # noqa: E402
from compliance.sealing.splitting import completion_row  # noqa: E402
from compliance.usage import calendar, reader  # noqa: E402
from compliance.usage.reader import HOUR, Period, Whose  # noqa: E402
from engine.entries import Completion  # noqa: E402
from engine.snapshots import Cell  # noqa: E402
from engine.turn import new_turn_id  # noqa: E402
from engine.types import Choice, Message, Usage  # noqa: E402
from tenants.keyring import TenantKeys  # noqa: E402

ANSWER = [Choice(message=Message(role="assistant", content="y" * 600), finish_reason="stop")]
NOW = time.time()
ALL = Whose(1)


def batch(size: int, sealer: Sealer) -> list[Row]:
    rows = []
    for _ in range(size):
        key = random.randrange(1, 50)
        ended = Completion(
            turn_id=new_turn_id(time.time()), tenant_id=1, at=time.time(), state="completed", model="mock",
            instance="mock", instance_id=1, key_id=key, edge="openai", cost=230, choices=ANSWER,
            usage=Usage(prompt_tokens=80, completion_tokens=150), ttft=random.expovariate(5), duration=random.random(),
        )  # fmt: skip
        rows.append(completion_row(ended, "w1"))
    sealed, keys = sealer.seal(rows, {row[0]: "key:1" for row in rows})
    sealer.durable(keys)
    return sealed


def without_sums(on: bool) -> None:
    """Batches look to the stores as if nobody had ended a turn."""
    sqlite.COMPLETION = copying.COMPLETION = "nothing" if on else COMPLETION  # type: ignore[misc]
    none = (lambda *_: None) if on else None
    sqlite.count_in_file = none or COUNTERS[0]  # type: ignore[assignment]
    copying.count_on_server = none or COUNTERS[1]  # type: ignore[assignment]


COUNTERS = (sqlite.count_in_file, copying.count_on_server)


def write(store: Store, size: int, batches: int, sealer: Sealer) -> None:
    wall: dict[bool, list[float]] = {False: [], True: []}
    cpu: dict[bool, list[float]] = {False: [], True: []}
    for number in range(2 * batches):
        rows, without = batch(size, sealer), bool(number % 2)
        without_sums(without)
        began, used = time.perf_counter(), time.process_time()
        store.append(rows)
        wall[without].append(time.perf_counter() - began)
        cpu[without].append(time.process_time() - used)
    without_sums(False)
    (counted, bare), (busy, idle) = ((statistics.median(each[on]) for on in (False, True)) for each in (wall, cpu))
    print(
        f"{size:4} completions a commit: {counted * 1e3:6.2f} ms with sums, {bare * 1e3:6.2f} without, ratio "
        f"{counted / bare:.2f}; CPU {(busy - idle) / size * 1e6:5.1f} us more a completion, ratio {busy / idle:.2f}"
    )


def fill(rows: int) -> None:
    hour = int(NOW // HOUR)
    columns = [field.column for field in UsageRow._meta.concrete_fields if not field.primary_key]
    values = []
    for n in range(rows):
        at = hour - n * 720 // rows
        sums = {"completed": 3, "prompt_tokens": 90, "completion_tokens": 9, "cost": n % 997, "last_at": at * HOUR}
        whose = {"tenant_id": 1, "hour": at, "key_id": 1 + n * 7919 % 400_000, "member_id": n % 100_000, "edge": "rest"}
        found = {**whose, **sums, "model": f"m{n % 4}", "instance_id": n % 4, "writer": 7}
        values.append(tuple(found.get(name, 0) for name in columns))
    statement = f"INSERT INTO compliance_usagerow ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))})"
    with connections["journal"].cursor() as cursor:
        with transaction.atomic(using="journal"):
            cursor.executemany(statement, values)
        cursor.execute("ANALYZE")


def read(rows: int) -> None:
    month = Period(NOW - 30 * 86_400, NOW)
    near = reader.reachable(ALL, month)
    questions = {
        "what can be added up by key": lambda: reader.reachable(ALL, month),
        "top keys of that": lambda: reader.totals(ALL, near, "key", most=11),
        "top members of that": lambda: reader.totals(ALL, near, "member", most=11),
        "top keys of all 30 days": lambda: reader.totals(ALL, month, "key", most=11),
        "last use of 100 keys": lambda: reader.last_used(1, list(range(1, 101))),
        "one key's 30 days": lambda: reader.total(Whose(1, key_id=1), month),
        "by day": lambda: calendar.series(ALL, month, "day", calendar.ZoneInfo("Asia/Shanghai")),
        "by model": lambda: reader.totals(ALL, month, "model"),
        "percentiles": lambda: reader.latency(1, month),
    }
    print(f"{rows:,} rows of one tenant in 30 days; by key since {(NOW - near.since) / 86_400:.1f} days")
    for name, ask in questions.items():
        took = []
        for _ in range(3):
            began = time.perf_counter()
            ask()
            took.append(time.perf_counter() - began)
        print(f"{name:30} {min(took) * 1e3:8.1f} ms")


def main() -> None:
    call_command("migrate", database="journal", verbosity=0, skip_checks=True)
    sealer = Sealer(Cell({1: TenantKeys.fresh()}))
    first = first_file()
    store: Store
    if first is None:
        store = PostgresStore(address_of(connections["journal"].settings_dict), "bench")
    else:
        store = SqliteStore(slots.claim(first), "bench")
    store.open()
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    for size in (1, 8, 32, 128):
        write(store, size, numbers[0] if numbers else 100, sealer)
    store.close(finished=True)
    rows = next((int(word[5:]) for word in sys.argv[1:] if word.startswith("rows=")), 1_000_000)
    if rows:
        fill(rows)
        read(rows)


if __name__ == "__main__":
    try:
        main()
    finally:
        SERVER.kill()
