"""The rights of the role that writes the journal on PostgreSQL: it may add entries, and read none of what they say."""

from __future__ import annotations

from typing import Final

from django.db import connections

from compliance.database import ALIAS

# What a sweeper needs to know of open turns, and a writer of entries whose commit it lost sight of.
READABLE: Final = ("turn_id", "kind", "number", "tenant_id", "worker", "session_id", "model", "instance", "key_id")

POLICY: Final = "clawdbot_writer"
WALLED: Final = (
    "compliance_auditentry",
    "compliance_subjectkey",
    "compliance_idempotency",
    "compliance_usagerow",
    "compliance_usagetotal",
    "compliance_usagetiming",
)

_GRANTS: Final = (
    "REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {role}",
    "REVOKE ALL ON ALL SEQUENCES IN SCHEMA {schema} FROM {role}",
    "GRANT USAGE ON SCHEMA {schema} TO {role}",
    f"GRANT INSERT, SELECT ({', '.join(READABLE)}) ON compliance_auditentry TO {{role}}",
    "GRANT USAGE ON SEQUENCE compliance_auditentry_number TO {role}",
    "GRANT EXECUTE ON FUNCTION compliance_journal_month(text) TO {role}",
    "GRANT INSERT ON compliance_subjectkey TO {role}",
    "GRANT INSERT, SELECT (digest, turn_id, number), UPDATE (fingerprint, turn_id, number, at) "
    "ON compliance_idempotency TO {role}",
    "GRANT SELECT, INSERT, UPDATE ON compliance_usagerow, compliance_usagetotal, compliance_usagetiming TO {role}",
    "GRANT EXECUTE ON FUNCTION compliance_usage_merged(text, text) TO {role}",
    "GRANT SELECT, INSERT, DELETE, UPDATE (heartbeat, oldest_open) ON compliance_journalworker TO {role}",
    # It writes for all tenants. Without a policy of its own it could not.
    *(f"DROP POLICY IF EXISTS {POLICY} ON {table}" for table in WALLED),
    *(f"CREATE POLICY {POLICY} ON {table} TO {{role}} USING (true) WITH CHECK (true)" for table in WALLED),
)


class NotPostgres(RuntimeError):
    """A journal of files has no roles."""


def grant_writer(role: str) -> None:
    """Exactly what a writer needs, whatever the role could do with the journal's tables before. Needs the rights of
    their owner. Raises NotPostgres, django.db.DatabaseError."""
    connection = connections[ALIAS]
    if connection.vendor != "postgresql":
        raise NotPostgres("the journal is not on PostgreSQL: files have no roles")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = 'compliance_auditentry'::regclass"
        )
        (schema,) = cursor.fetchone()
        names = {"role": connection.ops.quote_name(role), "schema": schema}
        for statement in _GRANTS:
            cursor.execute(statement.format(**names))
