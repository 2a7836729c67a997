"""A tenant's web chat."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from tenants.scoping import TenantScopedModel
from tenants.validation import clean_colour, clean_line, clean_lines, clean_model_names, clean_origins


class ChatSite(TenantScopedModel):
    """A tenant's web chat: how it looks, whom it takes, whose pages may show it. Without one: plain, members only."""

    class Visitors(models.TextChoices):
        OFF = "off", "Nobody"
        SIGNED = "signed", "Those the tenant signs in"
        ANYONE = "anyone", "Anyone"

    config_section = "tenants"

    name = models.CharField(max_length=100, blank=True, help_text="Stands above the chat; empty: Clawdbot.")
    greeting = models.TextField(max_length=1000, blank=True, help_text="What an empty conversation says.")
    accent = models.CharField(max_length=7, default="#2563eb", help_text="#rrggbb, of buttons and links.")
    background = models.CharField(max_length=7, default="#ffffff", help_text="#rrggbb, behind the launcher's mark.")
    visitors = models.CharField(
        max_length=6,
        choices=Visitors.choices,
        default=Visitors.OFF,
        help_text="Who may chat without being a member.",
    )
    origins = models.JSONField(
        default=list,
        blank=True,
        help_text="Whose pages may embed the chat and call from a browser: https://host[:port].",
    )
    visitor_models = models.JSONField(
        default=list, blank=True, help_text="Models visitors may choose; none: the routing rules decide."
    )
    ticket_minutes = models.PositiveIntegerField(
        default=60,
        validators=[MinValueValidator(1), MaxValueValidator(1440)],
        help_text="How long a visitor's ticket lasts; the chat renews it by itself.",
    )
    visitor_requests_per_minute = models.PositiveIntegerField(
        default=10, validators=[MaxValueValidator(6000)], help_text="Of one visitor."
    )
    address_requests_per_minute = models.PositiveIntegerField(
        default=30, validators=[MaxValueValidator(6000)], help_text="Of all visitors from one address."
    )

    class Meta:
        verbose_name = "web chat"
        ordering = ["tenant_id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant"], name="chat_site_once", violation_error_message="This tenant has one already."
            ),
        ]

    def __str__(self) -> str:
        return self.name or "Clawdbot"

    def clean(self) -> None:
        self.name = clean_line("name", self.name)
        self.greeting = clean_lines("greeting", self.greeting, 1000)
        self.accent = clean_colour("accent", self.accent)
        self.background = clean_colour("background", self.background)
        self.origins = clean_origins(self.origins)
        self.visitor_models = clean_model_names(self.visitor_models)
