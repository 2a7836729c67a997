"""Changes of configuration on their way to the journal."""

from __future__ import annotations

from typing import Any, NoReturn

from django.db import models

from compliance.models.journal import AppendOnly
from tenants.scoping import ScopedQuerySet


class OutboxQuerySet(ScopedQuerySet["ChangeRecord"]):
    """Scoped by tenant; nobody alters what waits here."""

    def update(self, **kwargs: Any) -> NoReturn:
        raise AppendOnly("a record of a change never changes")

    def delete(self) -> NoReturn:
        raise AppendOnly("a record of a change is removed once it is in the journal, and by nobody else")

    def moved(self) -> int:
        """For `compliance.journal.moving`, which has brought them into the journal."""
        self._check()
        return self._raw_delete(self.db)


class ChangeRecord(models.Model):
    """A change of configuration, written in the transaction that makes it, so that there is none without its record.

    The sequencer moves it into the journal within seconds, as the entry of this `id`. `tenant_id` is a plain number (0
    is the platform): a record outlives its tenant. `body` is the JSON of `engine.entries.Change`."""

    id = models.CharField(max_length=32, primary_key=True)
    tenant_id = models.BigIntegerField()
    body = models.BinaryField()

    objects = models.Manager.from_queryset(OutboxQuerySet)()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.id

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnly("a record of a change never changes")
        super().save(*args, **{**kwargs, "force_insert": True})

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly("a record of a change is removed once it is in the journal, and by nobody else")
