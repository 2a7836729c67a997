"""Rows that belong to a tenant, and the first wall between tenants: a query that names none refuses to run.

`Model.objects.for_tenant(tenant_id)` is the usual way; `everywhere()` is said aloud where the platform itself reads
(its console, the compilers of live configuration). Anything else must filter by the tenant, or raises `Unscoped` when
it is about to reach the database. Django's own base manager (relations, deletion, refresh) is not affected: it follows
keys that were scoped before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Self, TypeVar

from django.db import models
from django.db.models.lookups import Lookup
from django.db.models.sql.where import WhereNode

from tenants.signals import config_changed

M = TypeVar("M", bound=models.Model)


class Unscoped(RuntimeError):
    """A query over a tenant's table that names no tenant: a mistake in the program, never of the caller."""


class ScopedQuerySet(models.QuerySet[M]):
    _everywhere = False

    def for_tenant(self, tenant_id: int) -> Self:
        """The tenant's own rows."""
        return self.filter(tenant_id=tenant_id)

    def visible_to(self, tenant_id: int) -> Self:
        """The tenant's own rows and the platform's, where the model has such."""
        return self.filter(models.Q(tenant_id=tenant_id) | models.Q(tenant_id__isnull=True))

    def everywhere(self) -> Self:
        """All tenants: for the platform itself."""
        clone = self._chain()
        clone._everywhere = True
        return clone

    def _clone(self) -> Self:
        clone: Self = super()._clone()  # type: ignore[misc]
        clone._everywhere = self._everywhere
        return clone

    def _check(self) -> None:
        if not self._everywhere and not self.query.is_empty() and not _names_tenant(self.query.where):
            raise Unscoped(f"{self.model.__name__}: filter by tenant, use for_tenant() or say everywhere()")

    def _fetch_all(self) -> None:
        if self._result_cache is None:
            self._check()
        super()._fetch_all()  # type: ignore[misc]

    def iterator(self, chunk_size: int | None = None) -> Iterator[M]:
        self._check()
        return super().iterator(chunk_size)

    def count(self) -> int:
        self._check()
        return super().count()

    def exists(self) -> bool:
        self._check()
        return super().exists()

    def aggregate(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        self._check()
        return super().aggregate(*args, **kwargs)

    def update(self, **kwargs: Any) -> int:
        self._check()
        return super().update(**kwargs)

    def delete(self) -> tuple[int, dict[str, int]]:
        self._check()
        return super().delete()


def _names_tenant(node: WhereNode) -> bool:
    """Whether every row that passes is bound to a tenant: one condition of an AND is enough, an OR needs all."""
    bound = (
        _names_tenant(child) if isinstance(child, WhereNode) else isinstance(child, Lookup) and _on_tenant(child)
        for child in node.children
    )
    if node.negated or not node.children:
        return False
    return all(bound) if node.connector == "OR" else any(bound)


def _on_tenant(lookup: Lookup[Any]) -> bool:
    target = getattr(lookup.lhs, "target", None)
    return getattr(target, "name", "") == "tenant" and lookup.lookup_name in ("exact", "in", "isnull")


ScopedManager = models.Manager.from_queryset(ScopedQuerySet)


class TenantScopedModel(models.Model):
    """A tenant-owned table. `config_section` names the part of the live configuration its rows belong to; empty: none.

    A model whose rows may also belong to the platform redefines `tenant` with `null=True`."""

    config_section: ClassVar[str] = ""
    secret_fields: ClassVar[frozenset[str]] = frozenset()

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+")

    objects = ScopedManager()

    class Meta:
        abstract = True


def public_values(row: models.Model) -> dict[str, Any]:
    """The row's columns for a change record; secrets are named, never shown."""
    hidden = getattr(row, "secret_fields", frozenset())
    return {
        field.attname: "***" if field.name in hidden else field.value_from_object(row) for field in row._meta.concrete_fields
    }


def announce_saved(sender: type[models.Model], instance: models.Model, **_: object) -> None:
    _announce(sender, instance, after=public_values(instance))


def announce_deleted(sender: type[models.Model], instance: models.Model, **_: object) -> None:
    _announce(sender, instance, before=public_values(instance))


def _announce(
    sender: type[models.Model], instance: models.Model, *, before: dict[str, Any] | None = None, after: dict[str, Any] | None = None
) -> None:
    section = getattr(sender, "config_section", "")
    if section:
        config_changed.send(sender=sender, section=section, instance=instance, before=before, after=after)
