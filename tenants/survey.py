"""How the stores are: who serves, what is replicated, how old the copies on disk are, and so what could be lost.

A problem is something that is broken now; a remark is about how it was set up. What could be lost is what a store
itself may forget; turns, and what was done to sessions, are in the journal as well."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import msgspec

from engine.errors import StoreUnavailable
from tenants.directory import TenantTable, TenantView
from tenants.isolation import Deployment
from tenants.resp import CommandRefused
from tenants.topology import SLOTS, Topology
from tenants.valkey import Connection, info

PATIENCE: Final = 3.0  # seconds a store may take to tell of itself
FULL: Final = 0.9  # of its memory
FAR_BEHIND: Final = 16 * 1024 * 1024  # bytes a replica may lack
SILENT: Final = 15  # seconds without a word from the primary

Facts = dict[str, str]


class Server(msgspec.Struct, kw_only=True):
    """One server. Ages are in seconds, sizes in bytes; None: it does not say, or has none. `offset` counts what it has
    written or taken over, `lag` is how much of that a replica lacks, `silence` how long it has heard nothing from its
    primary. `unsaved` are changes since the last snapshot."""

    address: str
    answers: bool = False
    version: str = ""
    role: str = ""
    uptime: int | None = None
    primary: str = ""
    replicas: int = 0
    linked: bool | None = None
    offset: int = 0
    lag: int | None = None
    silence: int | None = None
    aof: bool = False
    aof_fsync: str = ""
    aof_size: int | None = None
    snapshots: bool = False
    snapshot_age: int | None = None
    unsaved: int = 0
    disk_errors: list[str] = []
    memory: int = 0
    memory_limit: int = 0
    eviction: str = ""
    databases: int | None = None
    databases_used: int = 0
    keys: int = 0

    @property
    def could_lose(self) -> str:
        """If it is killed and started again."""
        if not self.answers:
            return "unknown, it does not answer"
        if self.aof:
            each = {"always": "nothing", "everysec": "the last second"}
            return each.get(self.aof_fsync, "what the system had not written yet, some 30 s")
        if self.snapshots:
            return f"{self.unsaved} changes, {_age(self.snapshot_age)} old at most"
        return "everything"


class StoreReport(msgspec.Struct, kw_only=True):
    """One store: the platform's, or a tenant's own (`name` is its slug)."""

    name: str
    kind: str = "unknown"
    servers: list[Server] = []
    slots_served: int | None = None
    slots_moving: bool = False
    could_lose: str = "unknown, nobody answers."
    problems: list[str] = []
    remarks: list[str] = []


def survey(nodes: Sequence[str], tenants: TenantTable) -> list[StoreReport]:
    """Of the platform's store and of every tenant's own. Blocking: for a thread or a command. A store that is away is
    reported, never raised."""
    return asyncio.run(_survey(nodes, tenants))


async def _survey(nodes: Sequence[str], tenants: TenantTable) -> list[StoreReport]:
    shared = [view for view in tenants.by_id.values() if not view.store_url]
    own = [view for view in tenants.by_id.values() if view.store_url]
    asked = [_report("platform", nodes, shared), *(_report(view.slug, view.store_url, []) for view in own)]
    return list(await asyncio.gather(*asked))


async def _report(name: str, where: Sequence[str] | str, tenants: Sequence[TenantView]) -> StoreReport:
    """`where`: the platform's nodes, or the address of a tenant's own store."""
    report = StoreReport(name=name)
    try:
        deployment = Deployment.own(where) if isinstance(where, str) else Deployment(where)
    except ValueError as error:
        report.problems.append(f"its address is none: {error}")
        return report
    try:
        async with asyncio.timeout(PATIENCE):
            connections = await deployment.servers()
        topology = deployment.topology
        clustered = topology is not None and topology.clustered
        report.kind = "cluster" if clustered else "standalone"
        report.servers = list(await asyncio.gather(*(_server(connection) for connection in connections)))
        if topology is not None and clustered:
            _judge_cluster(report, topology)
    except (StoreUnavailable, TimeoutError):
        report.problems.append("no server answers")
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await deployment.close()
    _judge(report, tenants)
    return report


async def database_count(connection: Connection) -> int | None:
    """How many numbered databases the server has; None: it does not tell. Raises StoreUnavailable."""
    try:
        clustered = info(await connection.call("INFO", "cluster")).get("cluster_enabled") == "1"
    except CommandRefused:
        return None
    told = await _setting(connection, "cluster-databases" if clustered else "databases")
    return int(told) if told.isdecimal() else 1 if clustered else None


async def _server(connection: Connection) -> Server:
    address = connection.address
    server = Server(address=address.path or f"{address.host}:{address.port}")
    try:
        async with asyncio.timeout(PATIENCE):
            facts = info(await connection.call("INFO"))
            server.aof_fsync = await _setting(connection, "appendfsync")
            server.snapshots = bool(await _setting(connection, "save"))
            server.databases = await database_count(connection)
    except (StoreUnavailable, TimeoutError):
        return server
    server.answers = True
    server.version = facts.get("valkey_version") or facts.get("redis_version", "")
    server.uptime = _number(facts, "uptime_in_seconds")
    _read_replication(server, facts)
    _read_disk(server, facts)
    server.memory, server.memory_limit = _number(facts, "used_memory") or 0, _number(facts, "maxmemory") or 0
    server.eviction = facts.get("maxmemory_policy", "")
    spaces = [text for name, text in facts.items() if name.startswith("db") and text.startswith("keys=")]
    server.databases_used = len(spaces)
    server.keys = sum(int(text[5:].partition(",")[0]) for text in spaces)
    return server


async def _setting(connection: Connection, name: str) -> str:
    """Empty: it has none of that name, or does not tell."""
    try:
        told = await connection.call("CONFIG", "GET", name)
    except CommandRefused:
        return ""
    return told[1].decode() if told else ""


def _number(facts: Facts, name: str) -> int | None:
    text = facts.get(name, "")
    return int(text) if text.lstrip("-").isdecimal() else None


def _read_replication(server: Server, facts: Facts) -> None:
    server.role = "replica" if facts.get("role") == "slave" else "primary"
    server.replicas = _number(facts, "connected_slaves") or 0
    if server.role == "replica":
        server.primary = f"{facts.get('master_host')}:{facts.get('master_port')}"
        server.linked = facts.get("master_link_status") == "up"
        server.silence = _number(facts, "master_last_io_seconds_ago")
    server.offset = _number(facts, "slave_repl_offset" if server.role == "replica" else "master_repl_offset") or 0


def _read_disk(server: Server, facts: Facts) -> None:
    server.aof = facts.get("aof_enabled") == "1"
    server.aof_size = _number(facts, "aof_current_size")
    saved = _number(facts, "rdb_last_save_time")
    server.snapshot_age = max(0, int(time.time()) - saved) if saved else None
    server.unsaved = _number(facts, "rdb_changes_since_last_save") or 0
    failing = {
        "aof_last_write_status": "its append-only file cannot be written",
        "aof_last_bgrewrite_status": "its append-only file could not be written anew",
        "rdb_last_bgsave_status": "its snapshot could not be written",
    }
    server.disk_errors = [what for name, what in failing.items() if facts.get(name, "ok") != "ok"]


def _judge_cluster(report: StoreReport, topology: Topology) -> None:
    standings = topology.standings.values()
    alive = {server.address for server in report.servers if server.answers}
    served = 0
    for standing in standings:
        address = f"{standing.node.host}:{standing.node.port}"
        held = sum(last - first + 1 for first, last in standing.slots)
        if standing.failed:
            report.problems.append(f"{address}: is lost")
        elif standing.primary and address in alive:
            served += held
        if standing.primary and held and not any(each.primary_id == standing.id for each in standings):
            report.remarks.append(f"{address}: has no replica to take over")
    report.slots_served, report.slots_moving = served, topology.moving
    if served < SLOTS:
        report.problems.append(f"{SLOTS - served} of {SLOTS} slots are served by nobody")


def _judge(report: StoreReport, tenants: Sequence[TenantView]) -> None:
    primaries = {server.address: server for server in report.servers if server.role == "primary"}
    for server in report.servers:
        primary = primaries.get(server.primary)
        if primary is not None:
            server.lag = max(0, primary.offset - server.offset)
        report.problems += [f"{server.address}: {what}" for what in _problems(server)]
        if server.answers and not server.aof and not server.snapshots:
            report.remarks.append(f"{server.address}: keeps nothing on its disk")
    report.problems += lacking_databases(report, tenants)
    if report.servers:
        report.could_lose = _could_lose(report)


def _problems(server: Server) -> list[str]:
    if not server.answers:
        return ["does not answer"]
    found = list(server.disk_errors)
    if server.memory_limit and server.memory > FULL * server.memory_limit:
        found.append(f"{100 * server.memory // server.memory_limit} % of its memory is in use")
    if server.memory_limit and server.eviction != "noeviction":
        found.append(f"it drops keys when its memory is full ({server.eviction}): set maxmemory-policy noeviction")
    if server.linked is False:
        found.append(f"has lost its primary {server.primary}")
    elif (server.silence or 0) > SILENT:
        found.append(f"has heard nothing from its primary for {server.silence} s")
    if (server.lag or 0) > FAR_BEHIND:
        found.append(f"lacks {server.lag} bytes of what its primary wrote")
    return found


def lacking_databases(report: StoreReport, tenants: Sequence[TenantView]) -> list[str]:
    """A problem, if there is not one for everybody whose sessions are to lie in one."""
    known = [server.databases for server in report.servers if server.databases is not None]
    numbered = [view for view in tenants if view.store_layout == "database" and not view.store_url]
    beyond = [view.slug for view in numbered if known and view.store_database >= min(known)]
    if not beyond:
        return []
    names = ", ".join(beyond[:5]) + (", …" if len(beyond) > 5 else "")
    setting = "cluster-databases" if report.kind == "cluster" else "databases"
    return [
        f"it has {min(known)} databases, too few for {len(beyond)} tenants ({names}): raise `{setting}`, or move them "
        "with `movetenant --to prefix`"
    ]


def _could_lose(report: StoreReport) -> str:
    primaries = [server for server in report.servers if server.role == "primary" or not server.answers]
    if not any(server.answers for server in report.servers):
        return report.could_lose
    answers = list(dict.fromkeys(server.could_lose for server in primaries))
    told = f"A server that is killed and comes back: {'; '.join(answers) or 'unknown'}."
    lags = [server.lag for server in report.servers if server.lag is not None]
    if lags:
        told += f" A replica that takes over: what it lacks, {max(lags)} bytes now."
    return told


def _age(seconds: int | None) -> str:
    if seconds is None:
        return "of unknown age"
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
