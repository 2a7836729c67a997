"""Who holds a caller's idempotency key."""

from __future__ import annotations

from django.db import models

from tenants.scoping import ScopedManager


class Idempotency(models.Model):
    """A key and the turn that holds it; only `compliance.journal` writes it, with the intent of that turn.

    `digest` is a keyed hash of caller and key, `fingerprint` one of the request. On SQLite every file has such a table:
    of several rows with the same digest the one with the highest `number` counts."""

    digest = models.CharField(max_length=32, primary_key=True)
    tenant_id = models.BigIntegerField()
    fingerprint = models.CharField(max_length=32)
    turn_id = models.CharField(max_length=64)
    number = models.PositiveIntegerField(help_text="How many turns have held the key.")
    at = models.FloatField(help_text="Unix seconds.")

    objects = ScopedManager()

    class Meta:
        verbose_name = "idempotency key"
        indexes = [models.Index(fields=["at"], name="idempotency_by_age")]

    def __str__(self) -> str:
        return self.digest
