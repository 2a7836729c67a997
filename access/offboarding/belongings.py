"""Which rows are a tenant's: of every table that names it, found by what the models say, so that a table that comes to
be later is not forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, models, router
from django.db.models import QuerySet

from compliance.models import ChangeRecord
from tenants.models import Tenant

Rows = QuerySet[models.Model]


def tables() -> list[type[models.Model]]:
    """In the configuration's database, with a column `tenant_id`; but for changes on their way to the journal."""
    return [
        model
        for model in apps.get_models()
        if model not in (Tenant, ChangeRecord)
        and router.db_for_write(model) in (None, DEFAULT_DB_ALIAS)
        and _names(model)
    ]


def rows(model: type[models.Model], tenant_id: int) -> Rows:
    return model._base_manager.filter(tenant_id=tenant_id)


def hanging(model: type[models.Model], tenant_id: int) -> Iterator[Rows]:
    """Rows of tables without a tenant that hang on these."""
    for relation in model._meta.related_objects:
        child: Any = relation.related_model
        if relation.one_to_many or relation.one_to_one:
            if not _names(child) and child is not Tenant:
                yield child._base_manager.filter(**{f"{relation.field.name}__tenant_id": tenant_id})


def _names(model: type[models.Model]) -> bool:
    return any(getattr(field, "attname", "") == "tenant_id" for field in model._meta.concrete_fields)
