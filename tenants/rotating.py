"""Rotation of the master key: everything that is sealed in the database is sealed again with the first one.

Workers open with every key of the list at any time, so nothing stops meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from django.apps import apps
from django.db import models, transaction

from tenants.scoping import LiveModel, ScopedQuerySet
from tenants.secrets import SealBroken, Vault, platform_vault


class Rotated(msgspec.Struct):
    """How many secrets were sealed anew, were so already, and cannot be opened with any key of the list."""

    sealed: int = 0
    current: int = 0
    broken: list[str] = []


def seal_again(*, only_look: bool = False) -> Rotated:
    """Blocking; safe to repeat and to break off. `only_look`: `sealed` then counts what is still to be done."""
    vault, told = platform_vault(), Rotated()
    for model in _sealing_models():
        for row_id in list(_everywhere(model).order_by("pk").values_list("pk", flat=True)):
            _row(model, row_id, vault, told, only_look)
    return told


def _row(model: type[LiveModel], row_id: int, vault: Vault, told: Rotated, only_look: bool) -> None:
    """What somebody saves at the same time waits, or is seen here."""
    with transaction.atomic():
        row: Any = _everywhere(model).select_for_update().filter(pk=row_id).first()
        if row is None:
            return
        changed = []
        for field, purpose in model.sealed_fields.items():
            sealed = getattr(row, field)
            if not sealed or vault.is_current(sealed):
                told.current += bool(sealed)
                continue
            place = {"tenant_id": row.tenant_id, "row_id": row.seal_id, "purpose": purpose}
            try:
                plain = vault.open(sealed, **place)
            except SealBroken:
                told.broken.append(f"{model._meta.verbose_name} {row_id}")
                continue
            told.sealed += 1
            setattr(row, field, vault.seal(plain, **place))
            changed.append(field)
        if changed and not only_look:
            row.save(update_fields=changed)


def _sealing_models() -> Iterator[type[LiveModel]]:
    for model in apps.get_models():
        if issubclass(model, LiveModel) and model.sealed_fields:
            yield model


def _everywhere(model: type[LiveModel]) -> models.QuerySet[models.Model]:
    rows = model._default_manager.get_queryset()
    return rows.everywhere() if isinstance(rows, ScopedQuerySet) else rows
