from __future__ import annotations

import hashlib
import json
import logging
from contextlib import suppress
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from plugins import registry
from tenants.scoping import TenantScopedModel
from tenants.secrets import SealBroken, open_sealed, seal

log = logging.getLogger(__name__)


class PluginActivation(TenantScopedModel):
    """A plugin a tenant has switched on, its place among the others and its settings.

    The settings may hold passwords, and which of them are some only the plugin knows, if it is installed: all of them
    are sealed together. `settings` reads them and puts others in their place; what is changed inside of what it returns
    is not kept."""

    config_section = "plugins"
    secret_fields = frozenset({"sealed_settings"})
    sealed_fields = {"sealed_settings": "plugin settings"}

    plugin = models.CharField(max_length=64)
    enabled = models.BooleanField(default=True)
    position = models.PositiveSmallIntegerField(
        default=0, help_text="Lower runs earlier before the model, later after."
    )
    sealed_settings = models.TextField("settings", blank=True, editable=False)
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

    @property
    def seal_id(self) -> int:
        """Of the plugin's name, which a tenant has once: known before the row is saved."""
        return int.from_bytes(hashlib.sha256(self.plugin.encode()).digest()[:6])

    @property
    def settings(self) -> Any:
        """What `opened_settings` says; none, and a line in the log, where they cannot be opened."""
        try:
            return self.opened_settings()
        except SealBroken as error:
            log.error("the settings of the plugin %s of tenant %s cannot be opened: %s", self, self.tenant_id, error)
            return {}

    @settings.setter
    def settings(self, settings: Any) -> None:
        """After tenant and plugin, which they are sealed for. The same settings stay sealed as they are: that is no
        change. Raises TypeError: they are not JSON."""
        plain = json.dumps(settings) if settings != {} else ""
        with suppress(SealBroken):
            if plain and plain == json.dumps(self.opened_settings()):
                return
        place: Any = {"tenant_id": self.tenant_id, "row_id": self.seal_id}
        self.sealed_settings = plain and seal(plain, **place, purpose=PURPOSE)

    def opened_settings(self) -> Any:
        """Raises tenants.secrets.SealBroken: the master key they were sealed with is not there."""
        if not self.sealed_settings:
            return {}
        place: Any = {"tenant_id": self.tenant_id, "row_id": self.seal_id}
        return json.loads(open_sealed(self.sealed_settings, **place, purpose=PURPOSE))

    def clean(self) -> None:
        try:
            registry.read_settings(registry.get(self.plugin), self.settings)
        except registry.InvalidPlugin as error:
            raise ValidationError({"plugin": str(error)}) from None
        except registry.InvalidSettings as error:
            raise ValidationError({"settings": str(error)}) from None


PURPOSE = PluginActivation.sealed_fields["sealed_settings"]
