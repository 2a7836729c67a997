"""Long runs by name: `python -m benchmarks.soak NAME`, without a name the list. Exit 0: what was promised holds.

Each works in a folder of its own; what starts the product stops it again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def audit_kill() -> bool:
    """a million answers, 200 kills of web workers and of PostgreSQL: no answer without its journal entries."""
    size = ["--rounds", "200", "--answers", "1000000", "--clients", "64", "--seconds", "3", "--server-kills", "5"]
    return subprocess.run([sys.executable, "manage.py", "selftest", "audit", *size], cwd=ROOT).returncode == 0


def audit_tamper(edits: int = 10_000) -> bool:
    """10,000 random edits of a journal and its trees: `audit verify` finds every one."""
    command = [sys.executable, "-m", "benchmarks.audit_tamper", "--edits", str(edits)]
    return subprocess.run(command).returncode == 0


def idempotency() -> bool:
    """50,000 equal requests race for 1,000 keys, with flushes and kills, on files and on PostgreSQL: one call a key."""
    size = [sys.executable, "-m", "benchmarks.idempotency", "--rounds", "25", "--keys", "20", "--racers", "50"]
    return all(subprocess.run([*size, *more], cwd=ROOT).returncode == 0 for more in ([], ["--postgres"]))


def memory() -> bool:
    """a million requests and 100,000 streams through one worker: its memory grows by less than 1 % per 100,000."""
    return subprocess.run([sys.executable, "-m", "benchmarks.memory"], cwd=ROOT).returncode == 0


def session_store() -> bool:
    """the store emptied, killed, and put back to older files 60 times under turns: every answered turn is there."""
    return subprocess.run([sys.executable, "-m", "benchmarks.session_loss", "--rounds", "60"], cwd=ROOT).returncode == 0


def sessions_race() -> bool:
    """50 racing turns on each of 200 sessions, web workers killed in between: none lost, doubled or reordered."""
    return subprocess.run([sys.executable, "-m", "benchmarks.sessions_race"], cwd=ROOT).returncode == 0


def resume(cuts: int = 1_000) -> bool:
    """1,000 random cuts of streams, each joined again at any worker: the same bytes as a stream nobody cut."""
    command = [sys.executable, "-m", "pytest", "-q", "tests/product/test_resume.py", "-k", "random_cuts"]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "RESUME_CUTS": str(cuts)}).returncode == 0


def rebinding(tries: int = 1_000) -> bool:
    """1,000 tries of each client at a name that a DNS server has mean a public address and a private one in turn."""
    command = [sys.executable, "-m", "pytest", "-q", "tests/outbound/test_rebinding.py", "-k", "alternates"]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "REBINDING_TRIES": str(tries)}).returncode == 0


def fairness() -> bool:
    """a tenant at fifty times its load beside another, for half an hour: its p99 moves by 1.2 at most, no error."""
    size = ["--seconds", "60", "--rounds", "5"]
    return subprocess.run([sys.executable, "-m", "benchmarks.fairness", *size], cwd=ROOT).returncode == 0


def isolation() -> bool:
    """everybody asks for everything of another tenant's, at every door, on files and on PostgreSQL."""
    command = [sys.executable, "manage.py", "selftest", "isolation", "--database"]
    return all(subprocess.run([*command, name], cwd=ROOT).returncode == 0 for name in ("sqlite", "postgresql"))


def budgets(rounds: int = 300) -> bool:
    """streams broken off anywhere, an emptied store, 500 racing calls over two web workers: sums agree to the token."""
    command = [sys.executable, "-m", "pytest", "-q", "tests/tenants/limits", "tests/product/test_budgets.py"]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "BUDGET_ROUNDS": str(rounds)}).returncode == 0


def idle_sockets() -> bool:
    """10,000 idle sockets, floods, junk, slow readers: nothing else slows by more than half, memory is bounded."""
    return subprocess.run([sys.executable, "-m", "benchmarks.idle_sockets"], cwd=ROOT).returncode == 0


def schemathesis(examples: int = 310) -> bool:
    """50,000 requests, right and wrong ones, to what the API describes, and chains of them: no 5xx, as described."""
    command = [sys.executable, "-m", "pytest", "-q", "tests/product/test_described.py", "-o", "timeout=7200"]
    asked = {**os.environ, "DESCRIBED_EXAMPLES": str(examples), "DESCRIBED_STATES": str(examples)}
    return subprocess.run(command, cwd=ROOT, env=asked).returncode == 0


def fuzz(examples: int = 20_000) -> bool:
    """20,000 random scripts for each of WebSocket, gRPC and HTTP/2: no mistake of ours, no hang, the same processes."""
    command = [sys.executable, "-m", "pytest", "-q", "tests/product/test_fuzz_websocket.py"]
    command += ["tests/product/test_fuzz_grpc.py", "-o", "timeout=14400"]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "FUZZ_EXAMPLES": str(examples)}).returncode == 0


def outbox(rounds: int = 40) -> bool:
    """events to a stream and a webhook, the broker stopped, the publisher killed 40 times: all arrive, in order."""
    command = [sys.executable, "-m", "pytest", "-q", "tests/product/test_outbox.py", "-o", "timeout=7200"]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "OUTBOX_ROUNDS": str(rounds)}).returncode == 0


def outages(seconds: int = 30) -> bool:
    """the store and both databases away for 30 s each: clear refusals, nothing lost, back by itself within 5 s."""
    command = [sys.executable, "-m", "pytest", "-q", "tests/product/test_dependencies.py", "-o", "timeout=600"]
    environment = {**os.environ, "OUTAGE_SECONDS": str(seconds), "OUTAGE_BACK": "5"}
    return subprocess.run(command, cwd=ROOT, env=environment).returncode == 0


def rolling() -> bool:
    """20 rolling restarts under streams of 60 s, sockets and gRPC calls: no failed request, no cut stream."""
    return subprocess.run([sys.executable, "-m", "benchmarks.rolling"], cwd=ROOT).returncode == 0


def upgrade() -> bool:
    """two revisions from git on one PostgreSQL, forwards and back under load: no request fails, nothing is lost."""
    return subprocess.run([sys.executable, "-m", "benchmarks.upgrade"], cwd=ROOT).returncode == 0


def rotation(rounds: int = 50) -> bool:
    """50 times each, under load: keys of tokens, of providers and of callers are replaced, and the master key once."""
    command = [sys.executable, "-m", "pytest", "-q", "tests/product/test_rotating.py"]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "ROTATION_ROUNDS": str(rounds)}).returncode == 0


RUNS: dict[str, Callable[[], bool]] = {
    "audit-kill": audit_kill,
    "audit-tamper": audit_tamper,
    "fairness": fairness,
    "fuzz": fuzz,
    "budgets": budgets,
    "idempotency": idempotency,
    "idle-sockets": idle_sockets,
    "isolation": isolation,
    "memory": memory,
    "outbox": outbox,
    "outages": outages,
    "resume": resume,
    "rebinding": rebinding,
    "rolling": rolling,
    "rotation": rotation,
    "schemathesis": schemathesis,
    "session-store": session_store,
    "sessions-race": sessions_race,
    "upgrade": upgrade,
}


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in RUNS:
        for name, run in RUNS.items():
            print(f"{name:16} {run.__doc__}")
        return 0 if not arguments else 2
    return 0 if RUNS[arguments[0]]() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
