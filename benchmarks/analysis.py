"""How fast the journal is analysed: `python -m benchmarks.analysis [--entries 1000000]`.

Fills a journal in a temporary folder (or VAR_DIR) with sealed turns of 330 bytes in and 600 out, of four tenants and
1,000 users each, with languages, intents, hits of lists and questions that repeat; folds it; then reads all of it into
the sums, in CPU time of this process, which uses one core."""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time

os.environ.setdefault("VAR_DIR", tempfile.mkdtemp(prefix="clawdbot-bench-"))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clawdbot_site.settings")

import django  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connections  # noqa: E402
from django.db.models import Sum  # noqa: E402

from benchmarks.rows import migrate  # noqa: E402
from compliance.analysis import running  # noqa: E402
from compliance.database import ALIAS, first_file  # noqa: E402
from compliance.journal import slots  # noqa: E402
from compliance.journal.sqlite import SqliteStore  # noqa: E402
from compliance.models import InsightCount  # noqa: E402
from compliance.sealing import splitting  # noqa: E402
from compliance.sealing.sealer import Sealer  # noqa: E402
from compliance.tree.folding import Folder  # noqa: E402
from compliance.tree.leading import lead  # noqa: E402
from compliance.tree.sources import Sources  # noqa: E402
from engine.entries import Completion, Intent, State  # noqa: E402
from engine.snapshots import Cell  # noqa: E402
from engine.turn import new_turn_id  # noqa: E402
from engine.types import Choice, Message, Usage, Verdict  # noqa: E402
from tenants import services, stored_keys  # noqa: E402

TARGET = 120.0  # seconds of one core for 1,000,000 entries
TENANTS = 4
USERS = 1000
RATE = 50  # turns a second, so that 1,000,000 entries are some hours
BATCH = 128
ANSWER = [Choice(message=Message(role="assistant", content="y" * 600), finish_reason="stop")]
FEATURES = {
    "user": "u", "tenant": "t", "prompt_tokens": 80, "total_tokens": 80, "max_tokens": 512, "temperature": 0.7,
    "complexity_score": 0.31, "stream": True, "messages": 1, "hour": 12, "weekday": 3,
}  # fmt: skip
HIT = Verdict(list="metals", version=1, word="gold", action="record", where="input", list_id=1)


def pair(number: int, at: float, tenants: list[int], chance: random.Random) -> tuple[Intent, Completion]:
    turn, tenant_id = new_turn_id(at), tenants[number % len(tenants)]
    user = f"key:1:{chance.randrange(USERS)}"
    question = f"{chance.paretovariate(0.8):.0f} how do I return what I bought ".ljust(180, "x")
    hits = [HIT] if number % 10 == 0 else []
    features = {**FEATURES, "language": chance.choice(("zh", "en", "ja")), "intent": f"i{chance.randrange(20)}"}
    asked = Intent(
        turn_id=turn, tenant_id=tenant_id, at=at, edge="openai", request_id="req-" + turn, subject="key:1", user=user,
        key_id=1, model="gpt-3.5-turbo", instance="mock", rules=["small"], session_id=f"s{number // 3}",
        parent=number % 3, messages=[Message(role="user", content=question)], verdicts=hits,
        decision={"model": "gpt-3.5-turbo", "instance": "mock", "candidates": [], "features": features},
    )  # fmt: skip
    states: tuple[State, ...] = ("completed", "failed", "cancelled")
    state = chance.choices(states, (90, 4, 6))[0]
    ended = Completion(
        turn_id=turn, tenant_id=tenant_id, at=at + 1, state=state, choices=ANSWER, model="gpt-3.5-turbo",
        instance="mock", instance_id=1, edge="openai", session_id=asked.session_id, duration=chance.expovariate(1.0),
        ttft=0.1, usage=Usage(prompt_tokens=80, completion_tokens=150),
    )  # fmt: skip
    return asked, ended


def fill(entries: int, tenants: list[int]) -> None:
    first = first_file()
    assert first is not None
    store = SqliteStore(slots.claim(first), "bench")
    store.open()
    sealer, chance = Sealer(Cell(stored_keys.compile_keys())), random.Random(1)
    now = time.time() - entries / 2 / RATE - 60  # what happened just now is not folded yet
    rows, users = [], {}
    for number in range(entries // 2):
        asked, ended = pair(number, now + number / RATE, tenants, chance)
        rows += [splitting.intent_row(asked, "bench"), splitting.completion_row(ended, "bench")]
        users[asked.turn_id] = asked.user
        if len(rows) >= 2 * BATCH:
            _store(store, sealer, rows, users)
            rows, users = [], {}
    _store(store, sealer, rows, users)
    store.close(finished=True)


def _store(store: SqliteStore, sealer: Sealer, rows: list, users: dict[str, str]) -> None:  # type: ignore[type-arg]
    if rows:
        sealed, keys = sealer.seal(rows, users)
        store.append(sealed, keys)
        sealer.durable(keys)


def fold() -> None:
    leader = lead()
    assert leader is not None
    with leader, Sources() as sources:
        folder = Folder(leader.alias)
        while folder.fold(sources.all()):
            pass


def measure(entries: int) -> tuple[float, float]:
    """CPU seconds and seconds of analysing them all."""
    migrate()
    call_command("migrate", verbosity=0, skip_checks=True)
    tenants = [services.create_tenant(slug=f"t{n}", name=f"T{n}").pk for n in range(TENANTS)]
    fill(entries, tenants)
    fold()
    connections[ALIAS].close()
    began, cpu = time.monotonic(), time.process_time()
    ran = running.run(seconds=1e9)
    took = time.process_time() - cpu, time.monotonic() - began
    assert ran.entries == entries, ran
    turns = InsightCount.objects.everywhere().filter(what="turns").aggregate(sum=Sum("count"))["sum"]
    assert turns == entries // 2, turns
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    options = parser.parse_args()
    cpu, wall = measure(options.entries)
    scaled = cpu * 1_000_000 / options.entries
    print(f"{options.entries} entries of {TENANTS} tenants: {cpu:.1f} s of one core ({wall:.1f} s by the clock)")
    print(f"1,000,000 would take {scaled:.0f} s of one core   target {TARGET:.0f} s")


if __name__ == "__main__":
    main()
