"""Sessions that left the store."""

from __future__ import annotations

from django.db import models

from tenants.scoping import TenantScopedModel


class ArchivedSession(TenantScopedModel):
    """A session as it was when it became idle; the object of this name holds it. It may be in the store again, and
    have gone on since: then this is what it goes on from when the store loses it.

    `subject` is its user's pseudonym; what names or quotes anybody is sealed. `last_active` is in microseconds, like
    the order of a list. `summary` is its line of a list. An `expired` one is no session any more: the row only says
    where one of the same id begins to count, until the journal surely does."""

    subject = models.CharField(max_length=64)
    session_id = models.CharField(max_length=128)
    version = models.PositiveBigIntegerField()
    last_active = models.BigIntegerField(help_text="Microseconds since 1970.")
    key_id = models.BigIntegerField(null=True, help_text="The API key that speaks for the user.")
    object_name = models.CharField(max_length=400)
    size = models.PositiveBigIntegerField(help_text="Bytes of the object.")
    summary = models.BinaryField()
    archived_at = models.DateTimeField()
    expired_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-last_active", "session_id"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "subject", "session_id"], name="archived_once"),
        ]
        indexes = [
            models.Index(fields=["tenant", "subject", "-last_active"], name="archived_by_subject"),
            models.Index(fields=["tenant", "last_active"], name="archived_by_age"),
            models.Index(fields=["tenant", "session_id", "key_id"], name="archived_by_session"),
        ]

    def __str__(self) -> str:
        return self.session_id
