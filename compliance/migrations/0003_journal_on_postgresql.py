"""On PostgreSQL the journal's table is partitioned by month: turn ids begin with their time in milliseconds, 12 hex
digits, so a month is a range of ids, and what is unique about an entry may be unique. SQLite stays as it is."""

from django.db import migrations, models

TABLE = "compliance_auditentry"

PARTITIONED = f"""
ALTER TABLE {TABLE} RENAME TO {TABLE}_plain;
ALTER TABLE {TABLE}_plain ALTER COLUMN turn_id TYPE varchar(64) COLLATE "C";
CREATE TABLE {TABLE} (LIKE {TABLE}_plain INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY RANGE (turn_id);
CREATE SEQUENCE {TABLE}_number AS bigint OWNED BY {TABLE}.id;
ALTER TABLE {TABLE} ALTER COLUMN id SET DEFAULT nextval('{TABLE}_number');
ALTER TABLE {TABLE} ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id();
ALTER TABLE {TABLE} ALTER COLUMN body SET STORAGE EXTERNAL;
"""

# Attaching, unlike `PARTITION OF`, waits for no reader and no writer of the table. The writer's role may call it.
MONTH = f"""
CREATE OR REPLACE FUNCTION compliance_journal_month(turn text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = SCHEMA, pg_temp AS $$
DECLARE
    first timestamp;
    part text;
BEGIN
    IF turn !~ '^[0-9a-f]{{12}}' THEN
        RAISE EXCEPTION 'a turn id that does not begin with its time: %', turn USING ERRCODE = 'data_exception';
    END IF;
    first := date_trunc('month', to_timestamp(('x' || lpad(left(turn, 12), 16, '0'))::bit(64)::bigint / 1000.0)
                                 AT TIME ZONE 'UTC');
    part := '{TABLE}_' || to_char(first, '"y"YYYY"m"MM');
    IF to_regclass(quote_ident(part)) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(part, 0));
    IF EXISTS (SELECT 1 FROM pg_class WHERE relname = part AND relnamespace = 'SCHEMA'::regnamespace) THEN
        RETURN;  -- to_regclass would still believe what it saw before the lock was had
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE {TABLE} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)', part);
    EXECUTE format('ALTER TABLE {TABLE} ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', part,
        lpad(to_hex((extract(epoch FROM first) * 1000)::bigint), 12, '0'),
        lpad(to_hex((extract(epoch FROM first + interval '1 month') * 1000)::bigint), 12, '0'));
END $$;
REVOKE ALL ON FUNCTION compliance_journal_month(text) FROM PUBLIC;
"""

MOVED = f"""
SELECT compliance_journal_month(turn) FROM (
    SELECT min(turn_id) AS turn FROM {TABLE}_plain
    GROUP BY date_trunc('month', to_timestamp(('x' || lpad(left(turn_id, 12), 16, '0'))::bit(64)::bigint / 1000.0)
                                 AT TIME ZONE 'UTC')) AS months;
INSERT INTO {TABLE} SELECT * FROM {TABLE}_plain ORDER BY id;
SELECT setval('{TABLE}_number', (SELECT coalesce(max(id), 0) + 1 FROM {TABLE}_plain), false);
DROP TABLE {TABLE}_plain;
CREATE INDEX audit_by_id ON {TABLE} (id);
CREATE INDEX audit_by_transaction ON {TABLE} (xid, id);
"""


def partition(apps, schema_editor):
    connection = schema_editor.connection
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT relkind, current_schema() FROM pg_class WHERE oid = to_regclass(%s)", [TABLE])
        kind, schema = cursor.fetchone()
    month = MONTH.replace("SCHEMA", connection.ops.quote_name(schema))
    if kind == "p":  # migrated back and forth
        schema_editor.execute(month, params=None)
        return
    schema_editor.execute(PARTITIONED, params=None)
    schema_editor.execute(month, params=None)
    schema_editor.execute(MOVED, params=None)
    entry = apps.get_model("compliance", "AuditEntry")
    for constraint in entry._meta.constraints:
        schema_editor.add_constraint(entry, constraint)
    for index in entry._meta.indexes:
        schema_editor.add_index(entry, index)


def forget_month(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP FUNCTION IF EXISTS compliance_journal_month(text)")


class Migration(migrations.Migration):

    dependencies = [
        ('compliance', '0002_sealed_entries'),
    ]

    operations = [
        migrations.AddField(
            model_name='journalworker',
            name='spool',
            field=models.BooleanField(db_default=False, help_text='What the database did not take may wait on its disk.'),
        ),
        migrations.RunPython(partition, forget_month, hints={"journal": True}),
    ]
