"""Both databases on PostgreSQL, owned by a role that is no superuser, with a row of every kind for two tenants."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

import psycopg
from django.apps import apps
from django.core.management import call_command
from django.db import connections, models, router
from django.utils import timezone

from clawdbot_site.databases import sql
from tenants.models import Tenant, User
from tests.services.postgres import PostgresServer

ACME, GLOBEX = 11, 12
ALIASES = ("default", "journal")
SPECIAL: dict[str, dict[str, Any]] = {
    "tenants.job": {"progress": 0},
    "tenants.allowance": {"of": "model", "member": None, "key": None, "model": "gpt"},
    "tenants.iprule": {"network": "10.0.0.0/8"},
    "compliance.auditentry": {"turn_id": "018bcfe56800" + "{number:020x}", "kind": "intent", "state": ""},
}
_numbers = itertools.count(1)


@contextmanager
def pointed(addresses: dict[str, str]) -> Iterator[None]:
    """The aliases lead there for a while, in threads that open them anew too."""
    before = {alias: connections.databases[alias] for alias in addresses}
    kept = {alias: connections[alias] for alias in addresses}
    try:
        for alias, url in addresses.items():
            fresh = {**before[alias], **sql("DATABASE_URL", url)}
            connections.databases[alias] = {**fresh, "TEST": before[alias]["TEST"]}
            connections[alias] = connections.create_connection(alias)
        yield
    finally:
        for alias in addresses:
            connections[alias].close()
            connections.databases[alias] = before[alias]
            connections[alias] = kept[alias]


def prepared(
    server: PostgresServer, name: str, *, role: str = "product", options: str = "CREATEROLE"
) -> dict[str, str]:
    """Addresses of two empty databases that `role` owns."""
    found = {}
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN NOSUPERUSER {options}")
        for alias in ALIASES:
            admin.execute(f"CREATE DATABASE {name}_{alias} OWNER {role}")
            found[alias] = server.url.replace("clawdbot@", f"{role}@").replace("/postgres", f"/{name}_{alias}")
    return found


def migrate() -> None:
    for alias in ALIASES:
        call_command("migrate", database=alias, verbosity=0, interactive=False, skip_checks=True)


def scoped() -> list[type[models.Model]]:
    """Every model with rows of tenants."""
    return [
        model
        for model in apps.get_models()
        if any(field.attname == "tenant_id" for field in model._meta.concrete_fields) and model._meta.managed
    ]


def fill() -> None:
    """A row of each of them for both tenants, past everything but the database."""
    with connections["journal"].cursor() as cursor:
        cursor.execute("SELECT compliance_journal_month('018bcfe56800')")
    for number, tenant_id in ((1, ACME), (2, GLOBEX)):
        Tenant.objects.bulk_create(
            [Tenant(id=tenant_id, slug=f"t{tenant_id}", name=f"T {tenant_id}", store_database=100 + number)]
        )
        made: dict[type[models.Model], Any] = {Tenant: Tenant(id=tenant_id)}
        for model in scoped():
            _make(model, tenant_id, made)


def _make(model: Any, tenant_id: int, made: dict[type[models.Model], Any]) -> Any:
    if model not in made:
        row = row_of(model, tenant_id, made)
        (made[model],) = model._base_manager.using(alias_of(model)).bulk_create([row])
    return made[model]


def row_of(model: type[models.Model], tenant_id: int, made: dict[type[models.Model], Any]) -> Any:
    number, values = next(_numbers), {}
    special = SPECIAL.get(model._meta.label_lower, {})
    for field in model._meta.concrete_fields:
        if field.name in special:
            given = special[field.name]
            values[field.name] = given.format(number=number) if isinstance(given, str) else given
        elif field.attname == "tenant_id":
            values["tenant_id"] = tenant_id
        elif isinstance(field, models.AutoField) or (field.null and not field.is_relation):
            continue
        elif field.is_relation:
            if not field.null:
                values[field.name] = _make(field.related_model, tenant_id, made)
        else:
            values[field.name] = _value(field, number)
    return model(**values)


def _value(field: models.Field[Any, Any], number: int) -> Any:
    if field.choices:
        return field.choices[0][0]
    if isinstance(field, models.BooleanField):
        return False
    if isinstance(field, models.JSONField):
        return []
    if isinstance(field, models.BinaryField):
        return b"x"
    if isinstance(field, models.DateTimeField):
        return timezone.now()
    if isinstance(field, models.DateField):
        return date(2026, 1, 1)
    if isinstance(field, models.FloatField | models.IntegerField | models.DecimalField):
        return number
    return f"r{number}"[: field.max_length or 100]


def alias_of(model: type[models.Model]) -> str:
    return router.db_for_write(model) or "default"


def people() -> list[str]:
    return list(User.objects.values_list("username", flat=True))
