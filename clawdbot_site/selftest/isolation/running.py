"""`manage.py selftest isolation`: an instance of its own, two tenants on it, and the whole attack."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
import grpc
import psycopg

from clawdbot_site.selftest import postgres
from clawdbot_site.selftest.instance import Instance
from clawdbot_site.selftest.isolation import attack, pages, procedures, sockets, surface
from clawdbot_site.selftest.isolation.report import Finding, Report
from clawdbot_site.selftest.isolation.surface import Door
from clawdbot_site.selftest.isolation.world import World, enter
from clawdbot_site.selftest.ports import free_port
from clawdbot_site.selftest.postgres import PostgresServer

Say = Callable[[str], None]
DATABASES: Final = ("auto", "postgresql", "sqlite")
ROLE: Final = "selftest"
SAID: Final = 2000  # characters of what went wrong: how it begins and how it ends


@dataclass(frozen=True)
class Plan:
    """`settings_module`: of the instance, where it is to be another program than the usual one. `quick`: every
    door still, pages by fewer people. `kinds`: of doors; `under`: what their paths begin with."""

    database: str = "auto"
    settings_module: str = "clawdbot_site.settings"
    quick: bool = False
    kinds: tuple[str, ...] = surface.KINDS
    under: str = ""


def run(plan: Plan, say: Say, progress: Callable[[int], None] = lambda percent: None) -> Report:
    """Blocking; takes about a minute. What could not be run says so in the report."""
    folder = Path(tempfile.mkdtemp(prefix="clawdbot-selftest-"))
    began = time.monotonic()
    try:
        report = _run(plan, folder, say, progress)
    except (OSError, RuntimeError, ValueError, KeyError, aiohttp.ClientError, grpc.RpcError) as error:
        said = f"{type(error).__name__}: {error}"
        report = Report(could_run=False, error=said if len(said) <= SAID else f"{said[:200]} … {said[-SAID:]}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report.seconds = round(time.monotonic() - began, 1)
    return report


def _run(plan: Plan, folder: Path, say: Say, progress: Callable[[int], None]) -> Report:
    wanted = plan.database == "postgresql" or (plan.database == "auto" and postgres.available())
    with contextlib.ExitStack() as stack:
        settings = {
            "LOCAL_MODEL": "off",
            "GRPC_PORT": str(free_port()),
            "DJANGO_SETTINGS_MODULE": plan.settings_module,
        }
        # its turns go on for long, and nobody waits for them in the end
        settings |= {"LOG_LEVEL": "WARNING", "SIGN_UP": "off", "DRAIN_DELAY": "0", "DRAIN_TIMEOUT": "1"}
        if wanted:
            settings |= _databases(stack.enter_context(_server(folder / "postgres")))
        say(f"Starting an instance on {'PostgreSQL' if wanted else 'SQLite'} in {folder} …")
        instance = Instance(folder / "var", **settings)
        stack.callback(instance.stop)
        instance.start()
        progress(30)
        say("Two tenants move in …")
        furnished = _told(instance, "furnish")
        world = enter(instance.port, f"127.0.0.1:{settings['GRPC_PORT']}", furnished)
        stack.callback(world.close)
        _told(instance, "revoke")
        _until_refused(world)
        progress(45)
        doors = [door for door in surface.doors() if door.kind in plan.kinds and door.path.startswith(plan.under)]
        report = attacked(
            world, doors, lambda: str(_told(instance, "fingerprint", str(furnished["tenant"]))), say, plan.quick
        )
        report.database = "PostgreSQL" if wanted else "SQLite"
        progress(95)
        return report


def attacked(world: World, doors: list[Door], fingerprint: Callable[[], str], say: Say, quick: bool = False) -> Report:
    """All of it against a world that stands; `fingerprint` is of the owner's configuration. Pages first: the journals
    of those who ask over HTTP repeat what they asked for."""
    before, sessions = fingerprint(), _conversations(world)
    counted: Counter[str] = Counter()
    by_kind = {kind: [door for door in doors if door.kind == kind] for kind in surface.KINDS}
    findings: list[Finding] = []
    for kind, hit in (
        ("page", partial(pages.attack, quick=quick)),
        ("http", attack.attack),
        ("websocket", sockets.attack),
        ("grpc", procedures.attack),
    ):
        if not by_kind[kind]:
            continue
        say(f"{len(by_kind[kind])} doors: {kind} …")
        findings += hit(world, by_kind[kind], counted)
    if fingerprint() != before:
        findings.append(Finding("the owner's configuration", "somebody", "changed"))
    if _conversations(world) != sessions:
        findings.append(Finding("the owner's conversation", "somebody", "changed"))
    say("The owner opens every door …")
    for kind, opens in (("websocket", sockets.control), ("grpc", procedures.control), ("http", attack.control)):
        world.run_a_turn()
        findings += opens(world, by_kind[kind])
    once = list(dict.fromkeys(findings))
    return Report(doors={kind: len(found) for kind, found in by_kind.items()}, attacks=dict(counted), findings=once)


def _conversations(world: World) -> tuple[object, ...]:
    asked = [f"/api/sessions/{world.ids['session_id']}", f"/v1/responses/{world.ids['response_id']}"]
    answers = [world.ask("alice", "GET", path) for path in asked]
    return tuple((answer.status, answer.text) for answer in answers)


def _told(instance: Instance, *arguments: str) -> Any:
    done = instance.manage("selftest", *arguments)
    if done.returncode:
        raise RuntimeError(f"{arguments[0]}: {done.stderr[-1500:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def _until_refused(world: World) -> None:
    until = time.monotonic() + 20
    while world.ask("revoked", "GET", "/api/sessions").status != 401:  # noqa: PLR2004
        if time.monotonic() > until:
            raise RuntimeError("a revoked key goes on working")
        time.sleep(0.1)


@contextlib.contextmanager
def _server(folder: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(folder, options=["-c", "fsync=off"])
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _databases(server: PostgresServer) -> dict[str, str]:
    """Owned by a role that no policy lets pass by itself."""

    found = {}
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {ROLE} LOGIN NOSUPERUSER CREATEROLE".encode())
        for name, setting in (("rows", "DATABASE_URL"), ("journal", "JOURNAL_URL")):
            admin.execute(f"CREATE DATABASE {name} OWNER {ROLE}".encode())
            found[setting] = server.url.replace("clawdbot@", f"{ROLE}@").removesuffix("/postgres") + f"/{name}"
    return found
