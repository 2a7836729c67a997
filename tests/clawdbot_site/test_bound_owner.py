"""PostgreSQL refuses COPY to whom row-level security binds: the journal and the backup do without it there."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from clawdbot_site import row_security
from clawdbot_site.backup import sql
from clawdbot_site.backup.packing import checked, members, writing
from compliance.models import AuditEntry, UsageRow
from tenants.models import Tenant
from tests.clawdbot_site import walled
from tests.compliance.journals import completion, intent, writer_on
from tests.conftest import VAR_DIR
from tests.services.postgres import PostgresServer


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    server = PostgresServer(Path(tempfile.mkdtemp(prefix="bound-", dir=VAR_DIR)), options=["-c", "fsync=off"])
    server.start()
    yield server
    server.kill()


def test_an_owner_whom_policies_bind_writes_the_journal_and_restores_a_backup(
    server: PostgresServer, django_db_blocker, tmp_path: Path
) -> None:
    addresses = walled.prepared(server, "copied", role="bound")
    with django_db_blocker.unblock(), walled.pointed(addresses):
        walled.migrate()
        walled.fill()
        before = AuditEntry.objects.everywhere().count(), UsageRow.objects.everywhere().count()
        asyncio.run(_talk(addresses["journal"]))
        after = AuditEntry.objects.everywhere().count(), UsageRow.objects.everywhere().count()
        assert (after[0] - before[0], after[1] - before[1]) == (6, 1)
        with writing(tmp_path / "b.tar.gz") as pack:
            for alias in sql.ALIASES:
                sql.dump(pack, alias, tmp_path)
        about = checked(tmp_path / "b.tar.gz").about
        for alias in sql.ALIASES:
            sql.prepare(about, alias)
        assert not AuditEntry.objects.everywhere().exists() and not Tenant.objects.exists()
        tables = sql.Tables(about)
        for name, file in members(tmp_path / "b.tar.gz"):
            if name.startswith("sql/"):
                tables.take(name.split("/")[1], name, file)
        tables.finish()
        walled.migrate()
        assert (AuditEntry.objects.everywhere().count(), UsageRow.objects.everywhere().count()) == after
        assert Tenant.objects.count() == 2
        for alias in walled.ALIASES:
            assert not [problem for problem in row_security.problems(alias) if "policies of" in problem]


async def _talk(address: str) -> None:
    writer = writer_on(address)
    await writer.start()
    turns = [intent() for _ in range(3)]
    await asyncio.gather(*(writer.intent(turn) for turn in turns))
    await asyncio.gather(*(writer.completion(completion(turn)) for turn in turns))
    await writer.stop()
