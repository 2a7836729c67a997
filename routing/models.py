"""Model instances and routing rules. Without a tenant they are the platform's, shared by its tenants."""

from __future__ import annotations

from decimal import Decimal

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from adapters.base import AdapterConfig
from routing.validation import (
    check_adapter,
    clean_conditions,
    clean_endpoint,
    clean_fallbacks,
    clean_languages,
    clean_model_name,
)
from tenants.models import Tenant
from tenants.scoping import TenantScopedModel
from tenants.validation import clean_line

MAX_WEIGHT = 1_000_000
SECONDS = [MinValueValidator(0.1), MaxValueValidator(3600)]
COUNTS = [MinValueValidator(1), MaxValueValidator(1_000_000_000)]


class ModelInstance(TenantScopedModel):
    """One reachable model. Several may share a public `name` and take turns; `label` tells them apart.

    `services.save_instance` seals its provider key: nobody else writes `sealed_key`."""

    class Task(models.TextChoices):
        CHAT = "chat", "Chat"
        EMBEDDINGS = "embeddings", "Embeddings"

    class Sharing(models.TextChoices):
        ALL = "all", "All tenants"
        LISTED = "listed", "The tenants it is granted to"

    config_section = "routing"
    secret_fields = frozenset({"sealed_key", "options"})
    sealed_fields = {"sealed_key": "model api key"}

    tenant = models.ForeignKey(  # type: ignore[assignment]  # optional here
        Tenant, null=True, blank=True, on_delete=models.CASCADE, related_name="+", help_text="Empty: the platform's."
    )
    name = models.CharField(max_length=200, help_text="Public name; may hold wildcards, as in openai/*.")
    label = models.CharField(max_length=100, blank=True, help_text="Tells instances of one name apart.")
    task = models.CharField(max_length=16, choices=Task.choices, default=Task.CHAT, help_text="What it is asked for.")
    adapter = models.CharField(max_length=64, default="openai_compatible")
    endpoint = models.CharField(max_length=500, blank=True)
    sealed_key = models.TextField(blank=True, editable=False)
    upstream_model = models.CharField(max_length=200, blank=True, help_text="Empty: the requested name.")
    weight = models.PositiveIntegerField(default=1, validators=[MinValueValidator(1), MaxValueValidator(MAX_WEIGHT)])
    version = models.CharField(max_length=100, blank=True)
    context_window = models.PositiveIntegerField(
        null=True, blank=True, validators=COUNTS, help_text="Tokens; empty: unknown."
    )
    max_concurrency = models.PositiveIntegerField(
        null=True, blank=True, validators=COUNTS, help_text="Calls at a time, which the workers divide; empty: any."
    )
    languages = models.JSONField(default=list, blank=True, help_text="Such as zh, en; empty: any.")
    price_in = models.DecimalField(
        max_digits=14,
        decimal_places=6,
        default=Decimal(0),
        validators=[MinValueValidator(0)],
        help_text="A million tokens.",
    )
    price_out = models.DecimalField(
        max_digits=14,
        decimal_places=6,
        default=Decimal(0),
        validators=[MinValueValidator(0)],
        help_text="A million tokens.",
    )
    timeout = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0.1), MaxValueValidator(3600)],
        help_text="Seconds; empty: MODEL_TIMEOUT.",
    )
    connect_timeout = models.FloatField(
        null=True, blank=True, validators=SECONDS, help_text="Seconds; empty: the timeout, at most 10."
    )
    first_token_timeout = models.FloatField(
        null=True, blank=True, validators=SECONDS, help_text="Seconds; empty: the timeout."
    )
    idle_timeout = models.FloatField(
        null=True, blank=True, validators=SECONDS, help_text="Seconds between two tokens; empty: the timeout."
    )
    total_timeout = models.FloatField(
        null=True,
        blank=True,
        validators=SECONDS,
        help_text="Seconds for a whole answer; empty: the timeout without a stream, no limit with one.",
    )
    probe_interval = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(3600)],
        help_text="Seconds between probes that cost no tokens; empty: none.",
    )
    batch_window = models.FloatField(
        default=0,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text="Seconds a request waits for others of its tenant to share a call with.",
    )
    batch_size = models.PositiveIntegerField(
        default=1, validators=[MinValueValidator(1), MaxValueValidator(2048)], help_text="Inputs a shared call has."
    )
    allow_private = models.BooleanField(default=False, help_text="Its endpoint may be a private address.")
    options = models.JSONField(default=dict, blank=True, help_text="The adapter's own options.")
    sharing = models.CharField(max_length=8, choices=Sharing.choices, default=Sharing.ALL)
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "label", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "name", "label"],
                name="instance_once",
                violation_error_message="There is such an instance already: give another name or label.",
            ),
            models.UniqueConstraint(
                fields=["name", "label"],
                condition=Q(tenant__isnull=True),
                name="instance_once_platform",
                violation_error_message="There is such an instance already: give another name or label.",
            ),
            models.CheckConstraint(condition=Q(weight__gte=1), name="instance_weight"),
            models.CheckConstraint(condition=Q(price_in__gte=0) & Q(price_out__gte=0), name="instance_prices"),
            models.CheckConstraint(condition=Q(sharing__in=["all", "listed"]), name="instance_sharing"),
            models.CheckConstraint(condition=Q(task__in=["chat", "embeddings"]), name="instance_task"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.label})" if self.label else self.name

    def clean(self) -> None:
        self.name = clean_model_name(self.name)
        self.languages = clean_languages(self.languages)
        self.endpoint = clean_endpoint(self.endpoint, private=self.allow_private)
        config = AdapterConfig(endpoint=self.endpoint, upstream_model=self.upstream_model, options=self.options)
        check_adapter(self.adapter, config)


class ModelGrant(TenantScopedModel):
    """Lets a tenant use a shared instance whose `sharing` is `listed`."""

    config_section = "routing"

    instance = models.ForeignKey(ModelInstance, on_delete=models.CASCADE, related_name="grants")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["instance", "tenant"], name="grant_once")]

    def __str__(self) -> str:
        return f"{self.instance} for {self.tenant}"


class RoutingRule(TenantScopedModel):
    """Sends requests that meet all conditions to a model, by weight among the matching rules of its priority."""

    config_section = "routing"

    tenant = models.ForeignKey(  # type: ignore[assignment]  # optional here
        Tenant, null=True, blank=True, on_delete=models.CASCADE, related_name="+", help_text="Empty: for every tenant."
    )
    name = models.CharField(max_length=100, blank=True)
    priority = models.IntegerField(
        default=0,
        validators=[MinValueValidator(-MAX_WEIGHT), MaxValueValidator(MAX_WEIGHT)],
        help_text="Higher goes first.",
    )
    model = models.CharField(max_length=200, help_text="A public name, as in a request.")
    weight = models.PositiveIntegerField(default=1, validators=[MinValueValidator(1), MaxValueValidator(MAX_WEIGHT)])
    conditions = models.JSONField(default=list, blank=True, help_text="All must hold; none: always.")
    fallbacks = models.JSONField(
        default=list, blank=True, help_text="Public names to go on with, in this order, where the model cannot answer."
    )
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-priority", "id"]
        constraints = [models.CheckConstraint(condition=Q(weight__gte=1), name="rule_weight")]

    def __str__(self) -> str:
        return self.name or f"{self.model} #{self.pk}"

    def clean(self) -> None:
        self.name = clean_line("name", self.name)
        self.model = clean_model_name(self.model, field="model")
        self.conditions = clean_conditions(self.conditions)
        self.fallbacks = clean_fallbacks(self.fallbacks)
