"""What README promises, each with the command that shows it; README's table, `benchmarks.report` and docs/benchmarks.md
are held to this list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MODULE = "-m"
MANAGE = "manage.py"


@dataclass(frozen=True)
class Claim:
    """`command` and `quick`, its small form, are what Python is started with. `aims`: of a table of
    `benchmarks.gateway`, by its lines' names, how many a second are aimed at; `added`: milliseconds at most; `times`:
    how many times another gateway's rate ours is to be at least, by the line of theirs."""

    name: str
    says: str
    command: tuple[str, ...]
    quick: tuple[str, ...]
    page: str
    aims: Mapping[str, float] = field(default_factory=dict)
    added: Mapping[str, float] = field(default_factory=dict)
    times: Mapping[str, float] = field(default_factory=dict)

    @property
    def tables(self) -> bool:
        """Whether it writes its figures with `--json` in the form of `benchmarks.gateway`."""
        return self.command[:2] == (MODULE, "benchmarks.gateway")


def _measured(name: str, says: str, page: str, *full: str, quick: tuple[str, ...] = (), of: str = "") -> Claim:
    module = f"benchmarks.{of or name}"
    return Claim(name, says, (MODULE, module, *full), (MODULE, module, *(quick or full)), page)


def _soak(name: str, says: str, page: str, *quick: str) -> Claim:
    return Claim(name, says, (MODULE, "benchmarks.soak", name), quick, page)


def unit(figure: str) -> str:
    """Of a figure of `benchmarks.gateway` that is no row: by its name."""
    return "" if "iB" in figure or "a second" in figure else "ms"


AIMS = {
    "/v1, everything on": 6_000,
    "/v1, with a session": 3_000,
    "/api/chat (always with a session)": 1_500,
    "/v1, streams at once": 60_000,
    "/v1, 192 streams, a chunk each 5 ms": 30_000,
}
ADDED = {
    "added at concurrency 1, p50": 1.0,
    "added at half load, p99": 5.0,
    "added time to first token at concurrency 1, p50": 1.0,
}
TIMES = {"LiteLLM, /v1": 60.0, "Portkey, /v1": 8.0, "smg, /v1": 1.0}

CLAIMS = (
    Claim(
        "gateway",
        "One core, everything on: requests and streamed chunks a second, what a request costs, what the gateway adds",
        (MODULE, "benchmarks.gateway", "--seconds", "8"),
        (MODULE, "benchmarks.gateway", "--seconds", "0.5"),
        "performance.md",
        AIMS,
        ADDED,
    ),
    Claim(
        "peers",
        "Beside LiteLLM's proxy, Portkey and smg in the same run, with everything on here and everything off there",
        (MODULE, "benchmarks.gateway", "--seconds", "8", "--peers"),
        (MODULE, "benchmarks.gateway", "--seconds", "0.5", "--peers"),
        "performance.md",
        AIMS,
        ADDED,
        TIMES,
    ),
    _measured(
        "workers",
        "A second worker costs a request at most a twentieth more at the same load",
        "performance.md",
        quick=("--rate", "100", "--seconds", "1", "--rounds", "1"),
    ),
    _measured(
        "streams",
        "5,000 streams open at once in one worker, whole and within a bound of memory",
        "performance.md",
        quick=("--streams", "50", "--pace", "0.05"),
    ),
    _soak(
        "memory",
        "A worker's memory is steady over a million requests and 100,000 streams",
        "performance.md",
        *(MODULE, "benchmarks.memory", "--objects", "--requests", "0"),
    ),
    _measured("inprocess", "CPU by layer, without sockets", "performance.md", "--rounds", "5", quick=("--rounds", "1")),
    _measured(
        "grpc",
        "gRPC: unary calls and streamed chunks a second on one core",
        "grpc.md",
        quick=("--seconds", "0.5", "--rounds", "1"),
    ),
    _measured(
        "websocket",
        "WebSocket: turns a second on one core, beside the same turns over HTTP",
        "websocket.md",
        quick=("--seconds", "0.5", "--rounds", "1"),
    ),
    _measured(
        "guard", "What the filter of 60,000 words costs, question and stream", "guard.md", quick=("--words", "500")
    ),
    _measured("journal_cost", "What the durable journal costs a turn", "journal.md", quick=("--rounds", "1")),
    Claim(
        "audit-kill",
        "No answer without its journal entries, however processes and databases are killed",
        (MANAGE, "selftest", "audit", "--rounds", "40", "--answers", "20000"),
        (MANAGE, "selftest", "audit", "--rounds", "1", "--answers", "20", "--seconds", "1", "--database", "sqlite"),
        "verification.md",
    ),
    Claim(
        "audit-tamper",
        "Every changed, removed or inserted record is found",
        (MODULE, "benchmarks.audit_tamper", "--edits", "2000"),
        (MODULE, "benchmarks.audit_tamper", "--edits", "40", "--entries", "40"),
        "verification.md",
    ),
    _soak(
        "budgets",
        "Budgets are not overrun by a token, under racing calls and broken streams",
        "limits.md",
        *(MODULE, "pytest", "-q", "-p", "no:cacheprovider", "tests/tenants/limits"),
    ),
    _measured(
        "session_loss",
        "No answered turn is lost when the store is emptied, killed or put back",
        "sessions.md",
        quick=("--sessions", "4", "--rounds", "1", "--seconds", "1"),
    ),
    _soak(
        "resume",
        "A stream that was cut goes on at any worker with the same bytes",
        "streaming.md",
        *(MODULE, "pytest", "-q", "-p", "no:cacheprovider", "tests/product/test_resume.py", "-k", "random_cuts"),
    ),
    _measured(
        "idempotency",
        "A request sent twice calls a model once",
        "idempotency.md",
        quick=("--rounds", "1", "--keys", "2", "--racers", "5"),
    ),
    _measured(
        "reclaim",
        "Idle sessions leave memory without slowing the turns of others, and come back when they are touched",
        "sessions.md",
        *("--sessions", "4000", "--rate", "30", "--seconds", "15"),
        quick=("--sessions", "40", "--rate", "5", "--seconds", "1"),
    ),
    Claim(
        "isolation",
        "Nobody reads or writes what is another tenant's, at any door",
        (MANAGE, "selftest", "isolation"),
        (MANAGE, "selftest", "isolation", "--quick", "--database", "sqlite"),
        "isolation.md",
    ),
    _measured(
        "fairness",
        "Whoever floods a worker waits behind the others",
        "fairness.md",
        quick=("--seconds", "1", "--rounds", "1"),
    ),
    _measured(
        "routing.simulated", "Instances that fail, hang or slow down lose their share of the calls", "routing.md"
    ),
    _measured(
        "idle_sockets",
        "10,000 idle sockets and misbehaving clients slow nobody down",
        "websocket.md",
        quick=("--sockets", "50", "--seconds", "0.5", "--kinds", "idle"),
    ),
    _measured("languages", "Which language a text is in", "languages.md", quick=("--texts", "20")),
    _measured(
        "intents",
        "What recognising intents and learning them costs",
        "intents.md",
        quick=("--intents", "5", "--examples", "10"),
    ),
    _measured("analysis", "A million journal entries are analysed", "insights.md", quick=("--entries", "2000")),
    _soak(
        "outbox",
        "Events reach queues and webhooks at least once and in order, over kills and a broker that is away",
        "events.md",
        *(MODULE, "pytest", "-q", "-p", "no:cacheprovider", "tests/product/test_outbox.py"),
    ),
)
BY_NAME = {claim.name: claim for claim in CLAIMS}
