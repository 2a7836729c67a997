"""`storehealth` says how the stores are, and what could be lost. Exit 0: all is well; 1: something is broken; 2: it
could not find out. `--json` prints the same for machines."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

import msgspec
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from tenants.directory import compile_tenants
from tenants.survey import Server, StoreReport, survey

MEGABYTE = 1024 * 1024


class Command(BaseCommand):
    help = "Nodes, slots, replication, copies on disk and memory of the stores, and what could be lost."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true")

    def handle(self, *, json: bool = False, **_: Any) -> None:
        try:
            tenants = compile_tenants()
        except DatabaseError as error:
            raise CommandError(f"the tenants cannot be read: {error}", returncode=2) from None
        reports = survey(settings.VALKEY_NODES, tenants)
        if json:
            self.stdout.write(msgspec.json.format(msgspec.json.encode(reports)).decode())
        else:
            for report in reports:
                self._tell(report)
        if any(report.problems for report in reports):
            raise CommandError("a store is not well", returncode=1)

    def _tell(self, report: StoreReport) -> None:
        slots = "" if report.slots_served is None else f", {report.slots_served} slots served"
        self.stdout.write(f"{report.name}: {report.kind}{slots}{', slots are moving' if report.slots_moving else ''}")
        for server in report.servers:
            self.stdout.write(f"  {server.address}  {_line(server)}")
        self.stdout.write(f"  could be lost: {report.could_lose}")
        for problem in report.problems:
            self.stdout.write(f"  BROKEN  {problem}")
        for remark in report.remarks:
            self.stdout.write(f"  note    {remark}")


def _line(server: Server) -> str:
    if not server.answers:
        return "does not answer"
    parts = [f"{server.role} {server.version}", f"{server.keys} keys in {server.databases_used} databases"]
    if server.role == "replica":
        parts.append(f"of {server.primary}, lacks {server.lag} bytes")
    parts.append(f"{server.memory / MEGABYTE:.0f} MB of {server.memory_limit // MEGABYTE or 'unlimited'}")
    parts.append(f"append-only file {server.aof_fsync or 'on'}" if server.aof else "no append-only file")
    changed = f"snapshot {server.snapshot_age} s old, {server.unsaved} changes since"
    parts.append(changed if server.snapshots else "no snapshots")
    return ", ".join(parts)
