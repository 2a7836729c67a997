"""What a turn takes of each piece of a production start: `python -m benchmarks.sizing`.

The services of deploy/docker-compose.prod.yml on this machine (`tests/deploy/stage.py`): one web worker,
PostgreSQL, a standalone Valkey, the background services; a mock upstream. For each kind of turn: CPU of the web
worker, of PostgreSQL, of Valkey and of the sequencer, bytes the journal's database and its log grow by, bytes a
live session takes in Valkey and its append-only file. docs/sizing.md makes machines of them. Pieces share the cores
here, so CPU a turn counts, rates do not. Figures of a busy machine are worth nothing: `wait` is the share of its
time the worker was ready but not running."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clawdbot_site.settings")

import psycopg
import redis

from benchmarks import workload
from benchmarks.environment import Mock
from benchmarks.load import Result, Target, run
from benchmarks.processes import Times, children, resident, times
from tests.deploy.stage import Stage

PIECES = ("web", "postgres", "valkey", "sequencer")
SETTLE = 3.0  # seconds for the sequencer and the projections to catch up


@dataclass(frozen=True)
class Kind:
    name: str
    path: str
    body: Callable[[int], bytes]
    talk: type[workload.Talk] = workload.Talk


KINDS = (
    Kind("/v1", "/v1/chat/completions", workload.openai()),
    Kind("/v1, stream of 32 chunks", "/v1/chat/completions", workload.openai(stream=True)),
    Kind("/api/chat, six turns a session", "/api/chat", workload.rest(), workload.GivenSessions),
)


@dataclass(frozen=True)
class Sizes:
    """Bytes."""

    journal: int
    log: int
    memory: int
    file: int
    sessions: int


class Measured:
    """One kind of turn: what each piece took between two looks."""

    def __init__(self, stage: Stage, tenant_database: int) -> None:
        self._stage = stage
        self._database = tenant_database
        self._url = stage.secret("CACHE_URL").rpartition("/")[0]

    def cpu(self) -> dict[str, Times]:
        return {name: times(self._stage.pid(name)) for name in PIECES}

    def sizes(self) -> Sizes:
        with psycopg.connect(self._stage.secret("JOURNAL_URL"), autocommit=True) as journal:
            row = journal.execute("SELECT pg_database_size('journal'), pg_current_wal_lsn() - '0/0'").fetchone()
        with redis.Redis.from_url(f"{self._url}/{self._database}") as valkey:
            memory, files = valkey.info("memory"), valkey.info("persistence")
            names = valkey.scan_iter("session:*", count=1000)
            sessions = sum(not name.endswith(b":turns") for name in names)
        assert row is not None
        used, written = memory["used_memory_dataset"], files["aof_current_size"]
        return Sizes(int(row[0]), int(row[1]), int(used), int(written), sessions)


async def measure(stage: Stage, key: str, kind: Kind, look: Measured, seconds: float, connections: int) -> dict:
    headers = {"Authorization": f"Bearer {key}"}
    target = Target(stage.port, kind.path, headers, kind.body, talk=kind.talk)
    before: dict[str, Times] = {}
    sizes, told = look.sizes(), Result()
    before = look.cpu()
    told = await run(target, connections=connections, seconds=seconds, warmup=0.0)
    await asyncio.sleep(SETTLE)
    after, grown = look.cpu(), look.sizes()
    turns = told.statuses[200]
    spent = {name: after[name] - before[name] for name in PIECES}
    web = spent["web"]
    return {
        "kind": kind.name,
        "turns": turns,
        "failures": told.failures,
        **{f"{name}_us": round(each.ran / max(turns, 1) * 1e6) for name, each in spent.items()},
        "wait": round(web.waited / max(web.ran + web.waited, 1e-9), 2),
        "journal_bytes": round((grown.journal - sizes.journal) / max(turns, 1)),
        "log_bytes": round((grown.log - sizes.log) / max(turns, 1)),
        "sessions": grown.sessions - sizes.sessions,
        "valkey_bytes": round((grown.memory - sizes.memory) / max(turns, 1)),
        "file_bytes": round((grown.file - sizes.file) / max(turns, 1)),
    }


def table(rows: list[dict], memory: dict[str, float]) -> str:
    lines = [
        "| a turn | turns | web µs | PostgreSQL µs | Valkey µs | sequencer µs | wait | journal bytes | log bytes | "
        "Valkey bytes | its file |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    columns = ("kind", "turns", *(f"{name}_us" for name in PIECES), "wait")
    columns += ("journal_bytes", "log_bytes", "valkey_bytes", "file_bytes")
    lines += [f"| {' | '.join(str(row[column]) for column in columns)} |" for row in rows]
    lines += ["", "| memory, MiB | |", "|---|---|", *(f"| {name} | {size:.0f} |" for name, size in memory.items())]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    mock = Mock()
    mock.start()
    with tempfile.TemporaryDirectory(prefix="sizing-", ignore_cleanup_errors=True) as name:
        settings = {"MODEL_ENDPOINT": f"http://127.0.0.1:{mock.port}/v1", "WORKERS": "1", "GRPC_WORKERS": "1"}
        stage = Stage(Path(name) / "stage", settings)
        with contextlib.ExitStack() as stack:
            stack.callback(mock.process.kill)
            stack.callback(stage.end)
            stage.prepare()
            stage.run("migrate")
            stage.start("web", "sequencer", "worker")
            stage.wait_until_healthy("web")
            access = json.loads(stage.run("web", "first-access").stdout)
            rows = []
            look = Measured(stage, first_database(stage))
            wait_for_the_key(stage, access["api_key"])
            for kind in KINDS:
                told = measure(stage, access["api_key"], kind, look, options.seconds, options.connections)
                rows.append(asyncio.run(told))
            memory = {"web worker": resident(children(stage.pid("web"))[0])}
            memory |= {each: resident(stage.pid(each)) for each in ("sequencer", "worker", "valkey")}
    print(table(rows, memory))
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "memory": memory}, indent=2))
    return 1 if any(row["failures"] or not row["turns"] for row in rows) else 0


def first_database(stage: Stage) -> int:
    with psycopg.connect(stage.secret("DATABASE_URL"), autocommit=True) as connection:
        row = connection.execute("SELECT store_database FROM tenants_tenant WHERE slug = 'demo'").fetchone()
    assert row is not None
    return int(row[0])


def wait_for_the_key(stage: Stage, key: str) -> None:
    """A new key is live within a second or two."""
    body = workload.openai()
    deadline = time.monotonic() + 30
    while True:
        target = Target(stage.port, "/v1/chat/completions", {"Authorization": f"Bearer {key}"}, body)
        told = asyncio.run(run(target, connections=1, seconds=0.2, warmup=0.0))
        if told.statuses[200] and not told.failures:
            return
        if time.monotonic() > deadline:
            raise TimeoutError("the key is not known after 30 s")


if __name__ == "__main__":
    sys.exit(main())
