"""How long a replay takes: `python -m benchmarks.replay [--records 100000] [--files 2] [--rules 10]`.

Fills a journal in a temporary folder (or VAR_DIR) with turns as the gateway records them, 330 bytes in and 600 out,
every feature on record, through the journal's own store. Then runs the replay's job as the worker does and prints what
it took, beside the target: 100,000 records in 30 s."""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import tempfile
import time

os.environ.setdefault("VAR_DIR", tempfile.mkdtemp(prefix="clawdbot-bench-"))
os.environ.setdefault("LOG_LEVEL", "ERROR")  # there is no store to be away
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clawdbot_site.settings")

import django  # noqa: E402

django.setup()

from django.core.files.storage import default_storage  # noqa: E402

from access import replaying  # noqa: E402
from access.tasks import replay_rules  # noqa: E402
from benchmarks.rows import migrate  # noqa: E402
from compliance.database import first_file  # noqa: E402
from compliance.journal import slots, tables  # noqa: E402
from compliance.journal.records import Row, completion_row, intent_row  # noqa: E402
from compliance.journal.sqlite import SqliteStore  # noqa: E402
from engine.entries import Completion, Intent  # noqa: E402
from engine.snapshots import Cell  # noqa: E402
from engine.turn import new_turn_id  # noqa: E402
from engine.types import ChatRequest, Choice, Message, Principal, Usage  # noqa: E402
from routing import proposals  # noqa: E402
from routing.models import ModelInstance, RoutingRule  # noqa: E402
from routing.router import RuleRouter  # noqa: E402
from routing.services import save_instance  # noqa: E402
from tenants import jobs  # noqa: E402
from tenants.models import Tenant  # noqa: E402
from tenants.services import create_tenant  # noqa: E402

TARGET = 30.0  # seconds for RECORDS
RECORDS = 100_000
BATCH = 256
SPAN = 6 * 3600.0  # seconds the turns are spread over
ANSWER = [Choice(Message("assistant", "y" * 600), "stop")]


def fill(records: int, files: int, rules: int) -> Tenant:
    """A tenant, five models, so many rules, and its turns: routed by the real router, so that the records are real."""
    tenant = create_tenant(slug="replayed", name="Replayed")
    for number in range(5):
        instance = ModelInstance(name=f"model-{number}", adapter="echo", price_in=str(number + 1), price_out="5")
        save_instance(instance=instance)
    for number in range(rules):
        conditions = [f"max_tokens < {200 * (number + 1)}", f"hour >= {number % 12}"]
        RoutingRule.objects.create(
            tenant=tenant, model=f"model-{number % 5}", priority=number % 3, conditions=conditions
        )
    table = proposals.table_with(proposals.rules_now(tenant.pk), tenant.pk, timeout=30)
    router = RuleRouter(Cell(table))
    first = first_file()
    assert first is not None
    now, chance = time.time(), random.Random(7)
    for number in range(files):
        if number:
            tables.migrate_slot(first, number)
        slot = slots.take(first, number)
        assert slot is not None
        store = SqliteStore(slot, f"bench-{number}")
        store.open()
        rows: list[Row] = []
        for turn in range(number, records, files):
            rows += _turn(router, tenant, now - SPAN * (1 - turn / records), chance, store.worker)
            if len(rows) >= BATCH:
                store.append(rows)
                rows = []
        if rows:
            store.append(rows)
        store.close(finished=True)
    return tenant


def _turn(router: RuleRouter, tenant: Tenant, at: float, chance: random.Random, worker: str) -> list[Row]:
    principal = Principal(
        tenant_id=tenant.pk, tenant=tenant.slug, kind="key", subject="key:1", user=f"u{chance.random()}"
    )
    request = ChatRequest(
        messages=[Message("user", f"{chance.random():.17f} ".ljust(330, "x"))],
        max_tokens=chance.randrange(1, 4000),
        temperature=round(chance.random(), 2),
        metadata={"plan": chance.choice(["gold", "silver"]), "team": chance.randrange(50)},
        headers=[(b"x-team", b"red"), (b"user-agent", b"bench")],
    )
    route = router.choose(principal, request, request.messages, {})
    route.outcome(None)
    turn_id = new_turn_id(at)
    intent = Intent(
        turn_id=turn_id, tenant_id=tenant.pk, at=at, edge="rest", request_id=f"req-{turn_id}", subject="key:1",
        user=principal.user, key_id=1, session_id=f"s-{turn_id}", model="auto", instance=route.instance.name,
        rules=route.rules, decision=route.decision, messages=request.messages,
    )  # fmt: skip
    completion = Completion(
        turn_id=turn_id, tenant_id=tenant.pk, at=at + 1, state="completed", model=route.model,
        instance=route.instance.name, choices=ANSWER, usage=Usage(80, 150), ttft=0.1, duration=1.0,
    )  # fmt: skip
    return [intent_row(intent, worker), completion_row(completion, worker)]


def measure(tenant: Tenant) -> tuple[float, float, dict[str, object]]:
    """Seconds of the job, those of them on a processor, and its report. Every second rule is edited."""
    rules = proposals.rules_now(tenant.pk)
    for rule in rules[::2]:
        rule.weight += 1
        rule.conditions = [*rule.conditions, "complexity_score < 0.9 or metadata.plan == 'gold'"]
    during = replaying.period()
    arguments = replaying.arguments(rules, during)
    job = jobs.queue_job(tenant_id=tenant.pk, kind=replaying.KIND, arguments=arguments)
    began, worked = time.perf_counter(), time.process_time()
    replay_rules(job.pk)
    took, worked = time.perf_counter() - began, time.process_time() - worked
    job.refresh_from_db()
    assert job.state == "done", job.error
    with default_storage.open(job.result_name) as stored:
        return took, worked, json.load(stored)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--files", type=int, default=2)
    parser.add_argument("--rules", type=int, default=10)
    given = parser.parse_args()
    migrate()
    tenant = fill(given.records, given.files, given.rules)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    took, worked, report = measure(tenant)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    turns, moved = report["turns"], report["moved"]
    assert isinstance(turns, dict) and isinstance(moved, dict)
    print(
        f"{turns['read']} turns read, {turns['replayed']} replayed, {100 * moved['share']:.1f} % move: {took:.1f} s, "
        f"{worked:.1f} s of it on a processor, {grown:.0f} MiB more at the peak; "
        f"target {TARGET * given.records / RECORDS:.1f} s"
    )


if __name__ == "__main__":
    main()
