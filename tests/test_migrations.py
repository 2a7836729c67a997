"""Migrations only widen: the release before goes on with the databases of the one that comes. The rules, and whether
ours keep them."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.apps import apps
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

from tenants.indexes import AddIndexConcurrently
from tests.migration_rules import LARGE, faults

ROOT = Path(__file__).parents[1]
# What there was before the rules; nobody has run a release from before these.
BEGINNING = {
    "compliance": "0014_insights",
    "plugins": "0006_seal_plugin_settings",
    "routing": "0003_max_concurrency_is_divided",
    "sessions_app": "0002_archived_by_session",
    "tenants": "0008_sign_out_everywhere",
}
# (app, migration): the release that stopped using what this one takes away, which must be an earlier one.
CONTRACTED: dict[tuple[str, str], str] = {}

INDEX = models.Index(fields=["name"], name="thing_name")


def migration(*operations, atomic=True, app="compliance"):
    made = migrations.Migration("9999_example", app)
    made.operations, made.atomic = list(operations), atomic
    return made


@pytest.fixture
def before() -> ProjectState:
    state = ProjectState()
    fields = [
        ("id", models.BigAutoField(primary_key=True)),
        ("name", models.CharField(max_length=20, null=True)),
        ("kind", models.CharField(max_length=20, db_default="x")),
        ("price", models.DecimalField(max_digits=9, decimal_places=2, null=True)),
    ]
    for name in ("Thing", "AuditEntry"):
        migrations.CreateModel(name, fields).state_forwards("compliance", state)
    return state


def field(**options):
    return models.CharField(max_length=20, **options)


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AddField("thing", "more", field(null=True)),
        migrations.AddField("thing", "more", field(db_default="")),
        migrations.AddField("auditentry", "more", field(null=True)),
        migrations.AlterField("thing", "name", models.CharField(max_length=40, null=True)),
        migrations.AddIndex("thing", INDEX),
        migrations.RemoveIndex("thing", "thing_name"),
        migrations.RunPython(lambda apps, editor: None),
        migrations.RunSQL("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'"),
        migrations.RunSQL("ALTER TABLE compliance_thing ALTER name DROP NOT NULL"),
        migrations.RunSQL("CREATE INDEX CONCURRENTLY i ON compliance_auditentry (model)"),
        migrations.RunSQL("CREATE INDEX i ON compliance_thing (name)"),
        migrations.AlterField("thing", "kind", models.CharField(max_length=20, db_default="y")),
    ],
    ids=lambda operation: getattr(operation, "sql", operation.describe()),
)
def test_what_widens_is_fine(operation, before):
    if isinstance(operation, migrations.RemoveIndex):
        migrations.AddIndex("thing", INDEX).state_forwards("compliance", before)
    assert faults(migration(operation), before) == []


def test_a_new_table_may_have_whatever_it_likes(before):
    new = migrations.CreateModel("New", [("id", models.BigAutoField(primary_key=True))])
    more = [migrations.AddField("new", "name", field()), migrations.AddIndex("new", INDEX)]
    assert faults(migration(new, *more), before) == []


def test_an_index_of_a_large_table_is_built_beside_its_writers_and_alone(before):
    operation = AddIndexConcurrently("auditentry", INDEX)
    assert faults(migration(operation, atomic=False), before) == []
    assert len(faults(migration(operation), before)) == 1
    more = migrations.AddField("thing", "more", field(null=True))
    assert len(faults(migration(operation, more, atomic=False), before)) == 1


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        (migrations.RemoveField("thing", "name"), "still uses"),
        (migrations.RenameField("thing", "name", "called"), "still uses"),
        (migrations.DeleteModel("Thing"), "still uses"),
        (migrations.RenameModel("Thing", "Object"), "still uses"),
        (migrations.AlterModelTable("thing", "things"), "still uses"),
        (migrations.AddField("thing", "more", field()), "db_default"),
        (migrations.AddField("thing", "more", field(default="x")), "db_default"),
        (migrations.AddField("auditentry", "more", field(null=True, db_index=True)), "AddIndexConcurrently"),
        (migrations.AddField("auditentry", "more", field(null=True, unique=True)), "AddIndexConcurrently"),
        (migrations.AlterField("thing", "name", field()), "writes null"),
        (migrations.AlterField("thing", "name", models.TextField(null=True)), "type"),
        (migrations.AlterField("thing", "name", models.CharField(max_length=10, null=True)), "longer"),
        (migrations.AlterField("thing", "name", field(null=True, unique=True)), "forbids"),
        (migrations.AlterField("thing", "name", field(null=True, db_column="n")), "still uses"),
        (migrations.AddIndex("auditentry", INDEX), "large"),
        (migrations.AddConstraint("thing", models.UniqueConstraint(fields=["name"], name="once")), "forbids"),
        (migrations.RunSQL("ALTER TABLE compliance_thing DROP COLUMN name"), "still uses"),
        (migrations.RunSQL("ALTER TABLE compliance_thing ALTER COLUMN name SET NOT NULL"), "still uses"),
        (migrations.RunSQL("ALTER TABLE compliance_thing DROP name"), "still uses"),
        (migrations.RunSQL([("ALTER TABLE compliance_thing ALTER name TYPE int USING 1", None)]), "still uses"),
        (migrations.RunSQL("ALTER TABLE compliance_thing ALTER COLUMN name SET DATA TYPE text"), "still uses"),
        (migrations.RunSQL("ALTER TABLE compliance_thing ALTER kind DROP DEFAULT"), "still uses"),
        (migrations.RunSQL("CREATE UNIQUE INDEX once ON compliance_thing (name)"), "still uses"),
        (migrations.RunSQL("CREATE INDEX i ON ONLY compliance_auditentry (model)"), "large"),
        (migrations.AlterField("thing", "kind", field()), "leaves it to the database"),
        (
            migrations.AlterField("thing", "price", models.DecimalField(max_digits=9, decimal_places=4, null=True)),
            "type",
        ),
        (migrations.AlterField("auditentry", "name", field(null=True, db_index=True)), "AddIndexConcurrently"),
        (migrations.SeparateDatabaseAndState([migrations.RemoveField("thing", "name")]), "still uses"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(getattr(value, "sql", value.describe())),
)
def test_what_the_release_before_would_trip_over_is_found(operation, why, before):
    (fault,) = faults(migration(operation), before)
    assert why in fault


def test_every_migration_of_ours_only_widens_or_says_since_when_nobody_uses_it():
    loader = MigrationLoader(None)
    before = {key for first in BEGINNING.items() for key in loader.graph.forwards_plan(first)}
    ours = {app.label for app in apps.get_app_configs() if Path(app.path).parent == ROOT}
    wrong = {}
    for key, node in loader.graph.nodes.items():
        if key[0] in ours and key not in before and key not in CONTRACTED:
            parents = [parent.key for parent in loader.graph.node_map[key].parents]
            wrong[key] = faults(node, loader.project_state(parents))
    assert {key: found for key, found in wrong.items() if found} == {}


def test_what_is_listed_is_there():
    nodes = MigrationLoader(None).graph.nodes
    assert [key for key in [*BEGINNING.items(), *CONTRACTED] if key not in nodes] == []


def test_the_large_tables_are_tables():
    known = {(model._meta.app_label, model._meta.model_name) for model in apps.get_models(include_auto_created=True)}
    assert LARGE - known == set()
