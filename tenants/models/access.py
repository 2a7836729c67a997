"""API keys, and the addresses a tenant's callers come from."""

from __future__ import annotations

from django.db import models

from tenants.models.people import User
from tenants.scoping import TenantScopedModel
from tenants.validation import clean_name, clean_network, clean_scopes


class ApiKey(TenantScopedModel):
    """A key's digest and what it may do. The key itself is shown once and kept nowhere."""

    config_section = "keys"
    secret_fields = frozenset({"digest"})

    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(max_length=16, editable=False, help_text="The first characters, to recognise it by.")
    scopes = models.JSONField(
        default=list, blank=True, help_text="chat, sessions, audit, manage; empty: chat and sessions."
    )
    replaces = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+", help_text="The key it was made of."
    )
    created_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "API key"
        ordering = ["-id"]
        indexes = [models.Index(fields=["tenant", "-id"], name="key_by_tenant")]

    def __str__(self) -> str:
        return f"{self.name} ({self.hint}…)"

    def clean(self) -> None:
        self.name = clean_name(self.name)
        self.scopes = clean_scopes(self.scopes)


class IpRule(TenantScopedModel):
    """An address or network a tenant's callers may come from. No rule: from everywhere."""

    config_section = "tenants"

    network = models.CharField(max_length=64, help_text="IPv4 or IPv6, such as 10.0.0.0/8 or 2001:db8::1.")
    note = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "allowed address"
        verbose_name_plural = "allowed addresses"
        constraints = [models.UniqueConstraint(fields=["tenant", "network"], name="ip_rule_once")]

    def __str__(self) -> str:
        return self.network

    def clean(self) -> None:
        self.network = clean_network(self.network)
