"""Rows that belong to a tenant, and the first wall between tenants: a query that names none refuses to run.

`Model.objects.for_tenant(tenant_id)` is the usual way; `everywhere()` is said aloud where the platform itself reads
(its console, the compilers of live configuration). Anything else must filter by the tenant, or raises `Unscoped` when
it is about to reach the database. What hangs on a row of the tenant (`session.snapshots.all()`) counts as scoped; what
hangs on a person or on the platform does not. Django's own base manager (relations, deletion, refresh) is not affected:
it follows keys that were scoped before."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, ClassVar, Self, TypeVar

from django.db import models, transaction
from django.db.models.lookups import Lookup
from django.db.models.sql.query import Query
from django.db.models.sql.where import WhereNode

M = TypeVar("M", bound=models.Model)


class Unscoped(RuntimeError):
    """A query over a tenant's table that names no tenant: a mistake in the program, never of the caller."""


class ScopedQuerySet(models.QuerySet[M]):
    _everywhere = False
    _hints: dict[str, Any]

    def for_tenant(self, tenant_id: int) -> Self:
        """The tenant's own rows."""
        return self.filter(tenant_id=tenant_id)

    def visible_to(self, tenant_id: int) -> Self:
        """The tenant's own rows and the platform's, where the model has such."""
        return self.filter(models.Q(tenant_id=tenant_id) | models.Q(tenant_id__isnull=True))

    def everywhere(self) -> Self:
        """All tenants: for the platform itself."""
        clone = self.all()
        clone._everywhere = True
        return clone

    def _clone(self) -> Self:
        clone: Self = super()._clone()
        clone._everywhere = self._everywhere
        return clone

    def _check(self) -> None:
        if not self._everywhere and not _bound(self.query, self._hints.get("instance")):
            raise Unscoped(f"{self.model.__name__}: filter by tenant, use for_tenant() or say everywhere()")

    def _fetch_all(self) -> None:
        if self._result_cache is None:
            self._check()
        super()._fetch_all()

    def iterator(self, chunk_size: int | None = None) -> Iterator[M]:
        self._check()
        return super().iterator(chunk_size)

    def aiterator(self, chunk_size: int = 2000) -> AsyncIterator[M]:
        self._check()
        return super().aiterator(chunk_size)

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


def _bound(query: Query, owner: models.Model | None) -> bool:
    """Whether every row the query can meet belongs to a tenant that was named, in each part of a union too."""
    parts: tuple[Query, ...] = getattr(query, "combined_queries", ())
    if parts:
        return all(_bound(part, owner) for part in parts)
    return query.is_empty() or _names_tenant(query.where, owner)


def _names_tenant(node: WhereNode, owner: models.Model | None) -> bool:
    """Whether every row that passes is bound to a tenant: one condition of an AND is enough, an OR needs all."""
    if node.negated or node.connector == "XOR" or not node.children:
        return False
    bound = (
        _names_tenant(child, owner)
        if isinstance(child, WhereNode)
        else isinstance(child, Lookup) and (_on_tenant(child) or _on_owner(child, owner))
        for child in node.children
    )
    return all(bound) if node.connector == "OR" else any(bound)


def _on_tenant(lookup: Lookup[Any]) -> bool:
    if getattr(getattr(lookup.lhs, "target", None), "name", "") not in ("tenant", "tenant_id"):
        return False
    return lookup.lookup_name in ("exact", "in") or (lookup.lookup_name == "isnull" and lookup.rhs is True)


def _on_owner(lookup: Lookup[Any], owner: models.Model | None) -> bool:
    """The condition a related manager adds: the foreign key to the row it hangs on, itself a row of a tenant."""
    related = getattr(getattr(lookup.lhs, "target", None), "related_model", None)
    return isinstance(owner, TenantScopedModel) and related is type(owner) and lookup.lookup_name in ("exact", "in")


ScopedManager = models.Manager.from_queryset(ScopedQuerySet)


class LiveModel(models.Model):
    """A row that may be part of the live configuration: `config_section` names the part; empty: of none.

    Change records name the `secret_fields` and never show them. A save of nothing but `quiet_fields` is no change.
    `sealed_fields` are sealed with the master key, each for its purpose; `tenants.rotating` finds them here."""

    config_section: ClassVar[str] = ""
    secret_fields: ClassVar[frozenset[str]] = frozenset()
    quiet_fields: ClassVar[frozenset[str]] = frozenset()
    sealed_fields: ClassVar[Mapping[str, str]] = {}

    class Meta:
        abstract = True

    @property
    def seal_id(self) -> int:
        """What the row's sealed fields are bound to, `row_id` of `tenants.secrets`."""
        return int(self.pk)

    def save_base(self, *args: Any, **kwargs: Any) -> None:
        """One transaction for the row and for what the signals after it write (its version and its change record)."""
        with transaction.atomic(using=kwargs.get("using"), savepoint=False):
            super().save_base(*args, **kwargs)


class TenantScopedModel(LiveModel):
    """A tenant-owned table. A model whose rows may also belong to the platform redefines `tenant` with `null=True`."""

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+")

    objects = ScopedManager()

    class Meta:
        abstract = True
