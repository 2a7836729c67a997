from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from plugins import registry
from tenants.scoping import TenantScopedModel


class PluginActivation(TenantScopedModel):
    """A plugin a tenant has switched on, its place among the others and its settings."""

    config_section = "plugins"
    secret_fields = frozenset({"settings"})  # a plugin's settings may hold passwords

    plugin = models.CharField(max_length=64)
    enabled = models.BooleanField(default=True)
    position = models.PositiveSmallIntegerField(
        default=0, help_text="Lower runs earlier before the model, later after."
    )
    settings = models.JSONField(default=dict, blank=True)
    required = models.BooleanField(
        default=False, help_text="A turn in which the plugin cannot do its work fails, instead of going on without it."
    )
    timeout = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0.01), MaxValueValidator(60.0)],
        help_text="Seconds that each of its hooks may take; empty: what the plugin itself says.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "plugin"
        ordering = ["tenant_id", "position", "id"]
        constraints = [models.UniqueConstraint(fields=["tenant", "plugin"], name="plugin_once")]

    def __str__(self) -> str:
        return self.plugin

    def clean(self) -> None:
        try:
            registry.read_settings(registry.get(self.plugin), self.settings)
        except registry.InvalidPlugin as error:
            raise ValidationError({"plugin": str(error)}) from None
        except registry.InvalidSettings as error:
            raise ValidationError({"settings": str(error)}) from None
