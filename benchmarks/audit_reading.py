"""How long pages of the journal take: `python -m benchmarks.audit_reading [--rows N] [--files N] [--keep FOLDER]`.

Fills a journal of its own (SQLite in a temporary folder; with JOURNAL_URL set that empty PostgreSQL database) with
turns of 330 bytes in and 600 out, two entries each, and asks for each kind of page where time begins, in its middle and
at its end. Per page: the median and the longest wall time of what the server does, and the least CPU of this process.
Full size is `--rows 10000000`, which takes about 18 GB and some minutes to fill. `--keep` names a folder that is used
again if it is there. What an index costs the writer is printed by `--indexes`."""

from __future__ import annotations

import argparse
import os
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

os.environ.setdefault("VAR_DIR", tempfile.mkdtemp(prefix="clawdbot-bench-"))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clawdbot_site.settings")

import django  # noqa: E402

django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connections  # noqa: E402

from compliance.journal import changes, listing, slots, tables  # noqa: E402
from compliance.journal.changes import ChangeFilters  # noqa: E402
from compliance.journal.listing import Filters  # noqa: E402
from compliance.journal.records import COLUMNS, Row, change_row, completion_row, intent_row  # noqa: E402
from engine.entries import Change, Completion, Intent  # noqa: E402
from engine.types import Choice, Message, Usage, Verdict  # noqa: E402

START = 1_750_000_000.0
PACE = 10.0  # turns a second
TENANTS, USERS, KEYS, SESSIONS = 5, 2_000, 50, 20_000
BIG = 1  # the tenant that has half of all turns
BATCH = 20_000
ONE_IN_CHANGES = 1_000  # turns for a change of configuration
REPEATS = 5
NAMES = ", ".join(f'"{name}"' for name in COLUMNS)
INDEXES = ("audit_by_tenant", "audit_by_user", "audit_by_session", "audit_by_key", "audit_changes", "audit_all_changes")


def turns(count: int) -> Iterator[list[Row]]:
    chance = random.Random(7)
    question, answer = [Message("user", "x" * 330)], [Choice(Message("assistant", "y" * 600), "stop")]
    for number in range(count):
        at = START + number / PACE
        turn_id = f"{int(at * 1000):012x}{chance.getrandbits(80):020x}"
        tenant = BIG if chance.random() < 0.5 else chance.randrange(2, TENANTS + 1)
        key, draw = 1 + int(KEYS * chance.random() ** 3), chance.random()
        session = f"s-{chance.randrange(SESSIONS)}" if draw < 0.6 else None
        words = [Verdict("House rules", 1, "w", "mask", "input")] if draw < 0.001 else []
        state = "failed" if draw > 0.9999 else "completed"
        intent = Intent(
            turn_id=turn_id, tenant_id=tenant, at=at, edge="openai", request_id=turn_id[:16], subject=f"key:{key}",
            user=f"key:{key}:u{int(USERS * chance.random() ** 2)}", key_id=key, session_id=session, instance="mock",
            rules=["small"], messages=question, verdicts=words,
            decision={"candidates": [{"instance": "mock", "weight": 60}], "features": {"max_tokens": 100}},
        )  # fmt: skip
        end = Completion(
            turn_id=turn_id, tenant_id=tenant, at=at + 1, state=state, session_id=session, model="small",
            instance="mock", choices=answer, usage=Usage(80, 150), ttft=0.1, duration=1.0,
        )  # fmt: skip
        rows = [intent_row(intent, "bench"), completion_row(end, "bench")]
        if number % ONE_IN_CHANGES == 0:
            change = Change(
                turn_id=f"{turn_id[:12]}{'c' * 20}", tenant_id=tenant, at=at, actor=f"operator:{number % 3}",
                action="changed", model="routing.routingrule", row="1", before={"weight": 1}, after={"weight": 2},
            )  # fmt: skip
            rows.append(change_row(change, "bench"))
        yield rows


def fill(rows: int, files: int) -> None:
    call_command("migrate", database="journal", verbosity=0, skip_checks=True)
    write = to_postgres if connections["journal"].vendor == "postgresql" else to_files(files)
    began, made, every = time.perf_counter(), 0, turns(rows // 2)
    while batch := list(islice(every, BATCH)):
        write(made, [row for turn in batch for row in turn])
        made += len(batch)
        if made % (BATCH * 25) == 0:
            print(f"{2 * made} entries after {time.perf_counter() - began:.0f} s", file=sys.stderr)
    with connections["journal"].cursor() as cursor:
        if connections["journal"].vendor == "postgresql":
            cursor.execute("ANALYZE compliance_auditentry")
    connections["journal"].close()


def to_files(files: int) -> Callable[[int, list[Row]], None]:
    """Batches go to the files in turn, as several workers would write them."""
    first = Path(connections["journal"].settings_dict["NAME"])
    opened = []
    for number in range(files):
        if number:
            tables.migrate_slot(first, number)
        database = sqlite3.connect(slots.slot_path(first, number), isolation_level=None)
        database.execute("PRAGMA synchronous = OFF")
        database.execute("PRAGMA cache_size = -200000")
        opened.append(database)
    insert = f"INSERT INTO compliance_auditentry ({NAMES}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608

    def write(made: int, rows: list[Row]) -> None:
        for number, database in enumerate(opened):
            database.execute("BEGIN")
            database.executemany(insert, rows[number::files] if files > 1 else rows)
            database.execute("COMMIT")

    return write


def to_postgres(made: int, rows: list[Row]) -> None:
    connection = connections["journal"]
    connection.ensure_connection()
    with connection.connection.cursor() as cursor:
        for turn_id in (rows[0][0], rows[-1][0]):
            cursor.execute("SELECT compliance_journal_month(%s)", [turn_id])
        with cursor.copy(f"COPY compliance_auditentry ({NAMES}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


def places(rows: int) -> dict[str, str | None]:
    """Where a page may begin: at the newest turn, and before turns of the middle and of the beginning."""
    span = rows / 2 / PACE
    return {"first": None, "middle": first(START + span / 2), "last": first(START + span / 100)}


def first(moment: float) -> str:
    return f"{int(moment * 1000):012x}"


def pages(rows: int) -> Iterator[tuple[str, list[Callable[[], Any]]]]:
    span = rows / 2 / PACE
    day = Filters(since=START + span / 3, until=START + span / 3 + 86_400)
    asked: dict[str, tuple[int | None, Filters]] = {
        "a tenant": (BIG, Filters()),
        "a time": (BIG, day),
        "a user": (BIG, Filters(user="key:1:u7")),
        "a rare user": (2, Filters(user=f"key:{KEYS}:u{USERS - 1}")),
        "a key": (BIG, Filters(key_id=1)),
        "a rare key": (2, Filters(key_id=KEYS)),
        "a session": (BIG, Filters(session_id="s-77")),
        "model (all fit)": (BIG, Filters(model="small")),
        "model (none fits)": (BIG, Filters(model="unheard-of")),
        "state (1 in 10,000)": (BIG, Filters(state="failed")),
        "state (none fits)": (BIG, Filters(state="aborted")),
        "in flight (none is)": (BIG, Filters(state="in_flight")),
        "verdict (1 in 1,000)": (BIG, Filters(verdict="mask")),
        "verdict (none fits)": (BIG, Filters(verdict="block")),
        "edge, state, user": (BIG, Filters(edge="openai", state="completed", user="key:1:u7")),
        "all tenants": (None, Filters()),
        "all tenants, a user": (None, Filters(user="key:1:u7")),
        "all tenants, a state": (None, Filters(state="failed")),
        "all tenants, a verdict": (None, Filters(verdict="block")),
    }
    for name, (tenant, filters) in asked.items():
        yield (
            name,
            [
                lambda tenant=tenant, filters=filters, before=before: listing.page(tenant, filters, before=before)
                for before in places(rows).values()
            ],
        )
    yield (
        "the way back",
        [
            lambda after=after: listing.page_after(BIG, Filters(), after=after)
            for after in list(places(rows).values())[1:]
        ],
    )
    for name, tenant, told in (
        ("changes of a tenant", BIG, ChangeFilters()),
        ("changes of all tenants", None, ChangeFilters()),
        ("changes by somebody", BIG, ChangeFilters(actor="operator:1")),
        ("changes by nobody", BIG, ChangeFilters(actor="operator:9")),
    ):
        yield (
            name,
            [
                lambda tenant=tenant, told=told, before=before: changes.page(tenant, told, before=before)
                for before in places(rows).values()
            ],
        )


def measure(rows: int) -> float:
    """Prints a line a kind of page; the longest of all, in milliseconds."""
    listing.page(BIG, Filters())  # opens the connection
    longest = 0.0
    print(f"{'page':26} {'median ms':>9} {'longest':>8} {'CPU':>6}  turns")
    for name, asks in pages(rows):
        walls, cpus, found = [], [], []
        for ask in asks:
            for _ in range(REPEATS):
                wall, cpu = time.perf_counter(), time.process_time()
                page = ask()
                cpus.append((time.process_time() - cpu) * 1e3)
                walls.append((time.perf_counter() - wall) * 1e3)
            found.append(len(page.turns if hasattr(page, "turns") else page.changes))
        longest = max(longest, *walls)
        print(f"{name:26} {statistics.median(walls):9.1f} {max(walls):8.1f} {min(cpus):6.1f}  {found}")
    return longest


def cost_of_indexes(rows: int) -> None:
    """CPU a turn of writing them, batch by batch of 64 turns, with all indexes and without one of each."""
    batches = [
        [row for turn in islice(every, 64) for row in turn] for every in [turns(rows // 2)] for _ in range(rows // 128)
    ]
    call_command("migrate", database="journal", verbosity=0, skip_checks=True)
    connections["journal"].close()
    first = Path(connections["journal"].settings_dict["NAME"])
    insert = f"INSERT INTO compliance_auditentry ({NAMES}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608

    def written(without: str) -> float:
        copy = first.with_name("copy.sqlite3")
        copy.write_bytes(first.read_bytes())
        database = sqlite3.connect(copy, isolation_level=None)
        database.execute("PRAGMA synchronous = OFF")
        if without:
            database.execute(f"DROP INDEX {without}")
        before = time.process_time()
        for batch in batches:
            database.execute("BEGIN")
            database.executemany(insert, batch)
            database.execute("COMMIT")
        took = (time.process_time() - before) / (len(batches) * 64) * 1e6
        database.close()
        copy.unlink()
        return took

    names = ["", *INDEXES]
    runs = [[written(name) for name in names] for _ in range(REPEATS)]
    best = [min(each) for each in zip(*runs, strict=True)]
    print(f"all indexes: {best[0]:.1f} µs a turn")
    for name, took in zip(INDEXES, best[1:], strict=True):
        print(f"  without {name:18} {took:.1f} (it costs {best[0] - took:+.1f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--files", type=int, default=1)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--indexes", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="clawdbot-bench-") as folder:
        there = False
        if connections["journal"].vendor == "sqlite":
            place = (options.keep or Path(folder)) / "journal.sqlite3"
            place.parent.mkdir(parents=True, exist_ok=True)
            there = place.exists()
            connections["journal"].settings_dict["NAME"] = settings.DATABASES["journal"]["NAME"] = str(place)
        if options.indexes:
            cost_of_indexes(options.rows)
            return
        if not there:
            fill(options.rows, options.files)
        call_command("migrate", verbosity=0, skip_checks=True)  # the keys of users are looked for there
        print(f"{options.rows} entries in {options.files} file(s), {connections['journal'].vendor}")
        print(f"longest of all: {measure(options.rows):.0f} ms")
        connections["journal"].close()


if __name__ == "__main__":
    main()
