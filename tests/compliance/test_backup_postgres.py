"""A backup of the journal on PostgreSQL is good in another cluster."""

from __future__ import annotations

import time

from django.db import connections

from clawdbot_site.backup import sql
from clawdbot_site.backup.packing import checked, members, writing
from compliance.journal import reader
from compliance.models import TreeCursor
from tests.compliance.journals import completion, intent, on_postgres, run, writer_on


async def test_the_journal_on_postgresql_goes_on_in_another_cluster(
    transactional_db, cast, journal_database, postgres, empty_database, tmp_path, django_db_blocker, monkeypatch
):
    """What the tree had read stays read, and what it had not is still to come."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    writer = writer_on(journal_database)
    await writer.start()
    turns = []
    for number in range(4):
        asked = intent(user=f"u{number}", at=time.time() - 40 * 86_400 * number)
        await writer.intent(asked)
        await writer.completion(completion(asked, text='tab\t "quoted" \\ 你好\n'))
        turns.append(asked.turn_id)
    await writer.stop()
    read = run(journal_database, "SELECT xid::text::bigint, id FROM compliance_auditentry ORDER BY xid, id")
    with django_db_blocker.unblock(), on_postgres(journal_database):
        TreeCursor.objects.using("journal").create(source=0, xid=read[4][0], entry_id=read[4][1])
        with writing(tmp_path / "b.tar.gz") as pack:
            sql.dump(pack, "journal", tmp_path)
    about = {"sql": {**checked(tmp_path / "b.tar.gz").about["sql"], "default": {}}}
    other = postgres.database("restored", "empty")
    with django_db_blocker.unblock(), on_postgres(other):
        sql.prepare(about, "journal")
        tables = sql.Tables(about)
        for name, file in members(tmp_path / "b.tar.gz"):
            if name.startswith("sql/"):
                tables.take("journal", name, file)
        tables.finish()
        sql.renumber("journal")
        cursor = TreeCursor.objects.using("journal").get()
        place = f"(xid, id) > ('{cursor.xid}'::xid8, {cursor.entry_id})"
        unread = run(other, f"SELECT id FROM compliance_auditentry WHERE {place} ORDER BY xid, id")
        assert unread == [(number,) for _, number in read[5:]]
        columns = "id, turn_id, kind, at, user, body"
        query = f"SELECT {columns} FROM compliance_auditentry ORDER BY id"
        assert run(other, query) == run(journal_database, query)
        assert run(other, "SELECT * FROM compliance_subjectkey ORDER BY id") == run(
            journal_database, "SELECT * FROM compliance_subjectkey ORDER BY id"
        )
        again = writer_on(other, "w2")
        await again.start()
        await again.intent(intent())
        await again.stop()
        assert len(run(other, f"SELECT id FROM compliance_auditentry WHERE {place}")) == len(unread) + 1
        assert reader.entries().for_tenant(1).filter(kind="intent").count() == 5
    connections["journal"].close()
