"""Sends `config_changed` for every model with a `config_section`: the one place that listens to saves and deletions."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import models
from django.db.models.signals import post_delete, post_save, pre_save

from tenants.scoping import LiveModel
from tenants.signals import config_changed

Values = dict[str, Any]

HIDDEN = "***"
RENEWED = "*** (another)"  # after a change: the secret is not the one it was


def connect() -> None:
    """Called once all models are loaded."""
    for model in apps.get_models():
        if issubclass(model, LiveModel) and model.config_section:
            pre_save.connect(_before_save, sender=model, dispatch_uid="tenants.changes")
            post_save.connect(_after_save, sender=model, dispatch_uid="tenants.changes")
            post_delete.connect(_after_delete, sender=model, dispatch_uid="tenants.changes")


def public_values(row: models.Model) -> Values:
    """The row's columns as a change record shows them: of a secret only whether there is one."""
    hidden: frozenset[str] = getattr(row, "secret_fields", frozenset())
    values = {field.attname: field.value_from_object(row) for field in row._meta.concrete_fields}
    return {name: HIDDEN if name in hidden and value else value for name, value in values.items()}


def _before_save(sender: type[LiveModel], instance: LiveModel, **_: object) -> None:
    """Remembers the row as it is stored: the object in hand may long be another."""
    stored = None if instance.pk is None else sender._base_manager.filter(pk=instance.pk).first()
    instance._stored_row = stored  # type: ignore[attr-defined]


def _after_save(
    sender: type[LiveModel], instance: LiveModel, update_fields: frozenset[str] | None = None, **_: object
) -> None:
    if update_fields is None or not update_fields <= sender.quiet_fields:
        stored = instance.__dict__.pop("_stored_row", None)
        before, after = None if stored is None else public_values(stored), public_values(instance)
        for name in sender.secret_fields if stored is not None else ():
            if after[name] == HIDDEN and getattr(stored, name) not in (None, "", getattr(instance, name)):
                after[name] = RENEWED
        _send(sender, instance, before=before, after=after)


def _after_delete(sender: type[LiveModel], instance: LiveModel, **_: object) -> None:
    _send(sender, instance, before=public_values(instance), after=None)


def _send(sender: type[LiveModel], instance: LiveModel, *, before: Values | None, after: Values | None) -> None:
    section = sender.config_section
    config_changed.send(sender=sender, section=section, instance=instance, before=before, after=after)
