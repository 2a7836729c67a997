from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone

from plugins.outbox.events import TURN_TYPES, check_types
from tenants.scoping import TenantScopedModel
from tenants.webhooks import check_address


def _default_events() -> list[str]:
    return list(TURN_TYPES)


class Webhook(TenantScopedModel):
    """An address that a tenant's events are posted to, signed with a secret that only the tenant and we know.

    After a rotation the secret before signs beside the new one until `previous_until`."""

    config_section = "webhooks"
    secret_fields = frozenset({"sealed_secret", "sealed_previous"})
    sealed_fields = {"sealed_secret": "webhook secret", "sealed_previous": "webhook secret before"}

    name = models.CharField(max_length=100)
    url = models.CharField(max_length=500)
    events = models.JSONField(default=_default_events)
    content = models.BooleanField(default=False, help_text="Whether messages and answers are sent too.")
    enabled = models.BooleanField(default=True)
    sealed_secret = models.TextField(blank=True, editable=False)
    sealed_previous = models.TextField(blank=True, editable=False)
    previous_until = models.DateTimeField(null=True, blank=True, editable=False)
    since = models.DateTimeField(default=timezone.now, help_text="Events from then on are sent.")
    disabled_reason = models.CharField(max_length=200, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "webhook"
        ordering = ["tenant_id", "name", "id"]
        constraints = [models.UniqueConstraint(fields=["tenant", "name"], name="webhook_name_once")]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        wrong: dict[str, Any] = {}
        for field, check, value in (("url", check_address, self.url), ("events", check_types, self.events)):
            try:
                check(value)
            except ValueError as error:
                wrong[field] = str(error)
        if wrong:
            raise ValidationError(wrong)

    @property
    def sink(self) -> str:
        """What its state and its events in the outbox go by."""
        return f"webhook:{self.pk}"
