"""Row-level security on PostgreSQL: the policies of every table, and the request role they are for.

A table is a tenant's (a column `tenant_id`; `Tenant` itself), a person's (a key to a user), or everybody's. Of the
first the request role sees and changes what carries the tenant of its connection (`tenants.walls`), of the second what
belongs to people of that tenant, of the third all. `FORCE` binds the owner too, who has a policy of its own that lets
everything pass; so has every other role that was granted the table before, such as the journal's writer. For whoever
has none, the table is empty.

`apply` is idempotent and runs after every migration; it touches a table only where its policies differ."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import DatabaseError, connections, models, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.signals import post_migrate

from compliance.database import is_journal
from tenants.models import ApiKey, Invitation, Member, SupportVisit, Tenant
from tenants.walls import MAY_BECOME, ROLE, SETTING

OWNER: Final = "clawdbot_platform"
READ: Final = "clawdbot_read"
INSERT: Final = "clawdbot_insert"
UPDATE: Final = "clawdbot_update"
DELETE: Final = "clawdbot_delete"
HERE: Final = f"NULLIF(current_setting('{SETTING}', true), '')::bigint"

# Rows of these without a tenant are the platform's, and everybody may know them.
SHARED: Final = frozenset(
    {
        "routing.modelinstance",
        "routing.routingrule",
        "compliance.sensitivewordlist",
        "compliance.wordlistversion",
        "tenants.allowance",
    }
)
# What a request may add to although it is not all its tenant's: changes of what belongs to no tenant.
ADDED: Final = frozenset({"compliance.changerecord"})
# Of the journal's tables a request adds to this one only: keys of users it keeps something of.
JOURNALLED: Final = frozenset({"compliance.subjectkey"})


@dataclass(frozen=True)
class Wall:
    """One table's: what the request role may (`rights`), and the condition of each policy by its name."""

    table: str
    rights: tuple[str, ...]
    policies: dict[str, str]

    def statements(self, roles: Sequence[str]) -> Iterator[str]:
        """`roles` are those for which the wall is none."""
        table = f'"{self.table}"'
        yield f"REVOKE ALL ON {table} FROM {ROLE}"
        yield f"GRANT {', '.join(self.rights)} ON {table} TO {ROLE}"
        for name in (OWNER, READ, INSERT, UPDATE, DELETE):
            yield f"DROP POLICY IF EXISTS {name} ON {table}"
        if not self.policies:
            return
        yield f"CREATE POLICY {OWNER} ON {table} TO {', '.join(roles)} USING (true) WITH CHECK (true)"
        for name, condition in self.policies.items():
            yield f"CREATE POLICY {name} ON {table} {_HOW[name].format(role=ROLE, condition=condition)}"
        yield f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"
        yield f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"


_HOW: Final = {
    READ: "FOR SELECT TO {role} USING ({condition})",
    INSERT: "FOR INSERT TO {role} WITH CHECK ({condition})",
    UPDATE: "FOR UPDATE TO {role} USING ({condition}) WITH CHECK ({condition})",
    DELETE: "FOR DELETE TO {role} USING ({condition})",
}


def walls(alias: str) -> list[Wall]:
    """Of every table that models of this database have."""
    found = [model for model in apps.get_models(include_auto_created=True) if model._meta.managed]
    mine = [model for model in found if not model._meta.proxy and router.allow_migrate_model(alias, model)]
    return [wall_of(model, journal=is_journal(alias)) for model in mine]


def wall_of(model: type[models.Model], *, journal: bool = False) -> Wall:
    name, table = model._meta.label_lower, model._meta.db_table
    if journal:
        rights: tuple[str, ...] = ("SELECT", "INSERT") if name in JOURNALLED else ("SELECT",)
    elif name in ADDED:
        rights = ("SELECT", "INSERT")
    elif model is Tenant:
        rights = ("SELECT", "UPDATE")
    else:
        rights = ("SELECT", "INSERT", "UPDATE", "DELETE")
    return Wall(table, rights, _policies(model))


def _policies(model: type[models.Model]) -> dict[str, str]:
    name = model._meta.label_lower
    if model is Tenant:
        return {READ: f"id = {HERE}", UPDATE: f"id = {HERE}"}
    if model is get_user_model():
        plain = f"{_PEOPLE} AND NOT is_superuser AND NOT is_staff"
        return {READ: _PEOPLE, UPDATE: plain}
    if any(field.attname == "tenant_id" for field in model._meta.concrete_fields):
        own = f"tenant_id = {HERE}"
        seen = f"{own} OR tenant_id IS NULL" if name in SHARED else own
        added = f"{own} OR tenant_id = 0" if name in ADDED else own
        return {READ: seen, INSERT: added, UPDATE: own, DELETE: own}
    column = _person(model)
    if column is not None:
        theirs = f'"{column}" IN (SELECT id FROM {get_user_model()._meta.db_table})'  # noqa: S608  # our own names
        return {READ: theirs, INSERT: theirs, UPDATE: theirs, DELETE: theirs}
    return {}


def _person(model: type[models.Model]) -> str | None:
    """The column with whose it is; None: it is nobody's."""
    for field in model._meta.concrete_fields:
        if field.related_model is get_user_model() and not field.null:
            return field.column
    return None


_PEOPLE: Final = "id IN ({})".format(  # members, and who did something here that is still to be seen
    " UNION ALL ".join(
        f"SELECT {column} FROM {model._meta.db_table} WHERE {column} IS NOT NULL"  # noqa: S608  # our own names
        for model, column in (
            (Member, "user_id"),
            (SupportVisit, "operator_id"),
            (ApiKey, "created_by_id"),
            (Invitation, "invited_by_id"),
        )
    )
)


def apply(alias: str) -> list[str]:
    """What was changed. Makes the role where it may; a database without it is left as it is, and the check says so.
    Blocking. Raises DatabaseError."""
    connection = connections[alias]
    if connection.vendor != "postgresql":
        return []
    if not _role_is_there(connection):
        return []
    done = []
    for wall in walls(alias):
        with transaction.atomic(using=alias), connection.cursor() as cursor:
            facts = _facts(cursor, wall.table)
            if facts is None:
                continue
            if _stands(wall, facts):
                continue
            for statement in wall.statements(facts["roles"]):
                cursor.execute(statement)
            if wall.policies:
                cursor.execute(f"COMMENT ON POLICY {OWNER} ON \"{wall.table}\" IS '{_mark(wall, facts['roles'])}'")
            done.append(wall.table)
    if done:
        with connection.cursor() as cursor:
            cursor.execute("SELECT quote_ident(current_schema())")
            (schema,) = cursor.fetchone()
            cursor.execute(f"GRANT USAGE ON SCHEMA {schema} TO {ROLE}")
            if not is_journal(alias):
                cursor.execute(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {ROLE}")
    return done


def problems(alias: str) -> list[str]:
    """What is wrong with the second wall, for people; empty: it stands, or there can be none. Raises DatabaseError."""
    connection = connections[alias]
    if connection.vendor != "postgresql":
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT rolsuper, rolbypassrls, {MAY_BECOME} FROM pg_roles WHERE rolname = %s",  # noqa: S608
            [ROLE],
        )
        role = cursor.fetchone()
        if role is None:
            return [f"There is no role {ROLE}: tenants are kept apart by the program alone."]
        found = []
        if role[0] or role[1]:
            found.append(f"The role {ROLE} is a superuser or has BYPASSRLS: policies do not bind it.")
        if not role[2]:
            found.append(f"Whom the settings connect as is no member of {ROLE} and cannot work as it.")
        for wall in walls(alias):
            facts = _facts(cursor, wall.table)
            if facts is not None and not _stands(wall, facts):
                found.append(f"The policies of {wall.table} are not those of this version.")
    return found


def is_superuser(alias: str) -> bool:
    """Whether the settings connect as somebody whom no policy binds. Raises DatabaseError."""
    connection = connections[alias]
    if connection.vendor != "postgresql":
        return False
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = session_user")
        return bool(cursor.fetchone()[0])


def connect() -> None:
    # once a migration: the signal is sent for each app that has models
    post_migrate.connect(_on_post_migrate, sender=apps.get_app_config("tenants"), dispatch_uid="row_security")


def _on_post_migrate(using: str, **_: object) -> None:
    apply(using)


def _role_is_there(connection: BaseDatabaseWrapper) -> bool:
    """Makes it, and the owner a member of it, where that is allowed."""
    attributes = "NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOLOGIN NOINHERIT"
    for question, statement in (
        ("SELECT count(*) FROM pg_roles WHERE rolname = %s", f"CREATE ROLE {ROLE} {attributes}"),
        (
            f"SELECT count(*) FROM pg_roles WHERE rolname = %s AND {MAY_BECOME}",  # noqa: S608
            f"GRANT {ROLE} TO CURRENT_USER",
        ),
    ):
        with connection.cursor() as cursor:
            cursor.execute(question, [ROLE])
            there = bool(cursor.fetchone()[0])
        if there:
            continue
        try:
            with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
                cursor.execute(statement)
        except DatabaseError:  # another migration was faster, or it is the administrator's to do
            with connection.cursor() as cursor:
                cursor.execute(question, [ROLE])
                if not cursor.fetchone()[0]:
                    return False
    return True


def _facts(cursor: Any, table: str) -> dict[str, Any] | None:
    """None: there is no such table (yet). `roles`: quoted names of those who may use it but for the request role."""
    cursor.execute(
        "SELECT c.relrowsecurity AND c.relforcerowsecurity, obj_description(p.oid, 'pg_policy'),"
        " ARRAY(SELECT quote_ident(r.rolname) FROM pg_roles r WHERE r.rolname <> %s AND (r.oid = c.relowner"
        "  OR (r.rolname = session_user AND NOT r.rolsuper)"
        "  OR r.oid IN (SELECT (aclexplode(c.relacl)).grantee)) ORDER BY 1),"
        " ARRAY(SELECT a.privilege_type FROM aclexplode(c.relacl) a JOIN pg_roles r ON r.oid = a.grantee"
        "  WHERE r.rolname = %s)"
        " FROM pg_class c LEFT JOIN pg_policy p ON p.polrelid = c.oid AND p.polname = %s"
        " WHERE c.oid = to_regclass(%s)",
        [ROLE, ROLE, OWNER, f'"{table}"'],
    )
    row = cursor.fetchone()
    return None if row is None else dict(zip(("forced", "mark", "roles", "rights"), row, strict=True))


def _stands(wall: Wall, facts: dict[str, Any]) -> bool:
    """Whether the table is walled as this version has it."""
    if set(facts["rights"]) != set(wall.rights):
        return False
    if not wall.policies:
        return not facts["forced"]
    return bool(facts["forced"]) and facts["mark"] == _mark(wall, facts["roles"])


def _mark(wall: Wall, roles: Sequence[str]) -> str:
    """Kept as a comment, to tell by whether a table's policies are those of this version."""
    return hashlib.sha256("\n".join(wall.statements(roles)).encode()).hexdigest()[:32]
