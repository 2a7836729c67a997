"""A tenant, and the keys its recorded text is sealed with."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from tenants.models import amounts
from tenants.scoping import LiveModel, ScopedManager, TenantScopedModel
from tenants.validation import clean_name, clean_profile_template, clean_slug, clean_time_zone


class StoreLayout(models.TextChoices):
    DATABASE = "database", "A numbered database"
    PREFIX = "prefix", "A prefix and a user of its own"


class AtLimit(models.TextChoices):
    REFUSE = "refuse", "It is refused"
    CHEAPER = "cheaper", "A cheaper model answers"


class Tenant(LiveModel):
    """A company, department or customer. `store_database` is its own numbered Valkey database."""

    config_section = "tenants"
    secret_fields = frozenset({"store_url"})

    slug = models.SlugField(max_length=63, unique=True)
    name = models.CharField(max_length=200)
    is_active = models.BooleanField(default=True)
    store_database = models.PositiveIntegerField(unique=True, editable=False)
    store_url = models.CharField(max_length=500, blank=True, help_text="The tenant's own Valkey server, if it has one.")
    session_ttl = models.PositiveIntegerField(null=True, blank=True, help_text="Seconds; empty: the platform's.")
    store_layout = models.CharField(
        max_length=8,
        choices=StoreLayout.choices,
        default=StoreLayout.DATABASE,
        help_text="Where the tenant's sessions lie on the platform's store, unless it has a server of its own.",
    )
    store_moving = models.BooleanField(default=False, editable=False, help_text="Turns wait: its store is being moved.")
    session_retention_days = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Days after its last turn that a session ends; 0: never; empty: as everywhere.",
    )
    snapshot_every = models.PositiveIntegerField(
        null=True, blank=True, help_text="A snapshot of a session every so many turns; 0: none; empty: the platform's."
    )
    resume_grace = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Seconds an answer goes on without its reader; 0: it is cancelled at once; empty: the platform's.",
    )
    profile_template = models.TextField(
        blank=True, help_text="How a user's profile stands in the prompt; empty: the platform's way."
    )
    summary_model = models.CharField(
        max_length=200, blank=True, help_text="The model that sums up the older part of long sessions; empty: none."
    )
    requests_per_minute = amounts.count()
    tokens_per_minute = amounts.tokens()
    concurrent_turns = amounts.count()
    money_per_day = amounts.money("What its calls may cost a calendar day in its time zone; empty: unlimited.")
    money_per_month = amounts.money("What its calls may cost a calendar month in its time zone; empty: unlimited.")
    at_limit = models.CharField(
        max_length=8,
        choices=AtLimit.choices,
        default=AtLimit.REFUSE,
        help_text="What becomes of a turn its budget has no room for.",
    )
    budget_webhook = models.URLField(
        max_length=500, blank=True, help_text="Told when a budget is used up to four fifths, and when it is used up."
    )
    body_limit = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(2), MaxValueValidator(20)],
        help_text="MiB that the body of one of its callers' requests may have; empty: as for everybody.",
    )
    share = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="Its weight among the tenants that wait for the same instance or worker.",
    )
    time_zone = models.CharField(max_length=64, default="UTC", help_text="An IANA name, such as Asia/Shanghai.")
    cache_ttl = models.PositiveIntegerField(
        null=True, blank=True, help_text="Seconds an answer is kept for the same request; empty: none is."
    )
    cache_sampled = models.BooleanField(
        default=False, help_text="Keep answers with a temperature above 0, or without one, too."
    )
    stream_interval = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(50)],
        help_text="Milliseconds between two events of its streams; empty: every piece leaves as it comes.",
    )
    coalesce = models.BooleanField(default=False, help_text="Identical requests at the same time share one call.")
    retention_days = models.PositiveIntegerField(
        null=True, blank=True, help_text="Days a turn stays in the journal; 0: for good; empty: as the platform says."
    )
    legal_hold = models.BooleanField(default=False, help_text="Nothing is removed from the journal, however old.")
    legal_hold_note = models.CharField(max_length=200, blank=True, help_text="Why, and by whom.")
    created_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Since when it is being taken off the platform for good."
    )

    class Meta:
        ordering = ["slug"]
        constraints = [
            models.UniqueConstraint(Lower("slug"), name="tenant_slug_ci"),
            models.UniqueConstraint(
                fields=["store_url"],
                condition=~models.Q(store_url=""),
                name="tenant_store_url_once",
                violation_error_message="Another tenant has this store.",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        self.slug = clean_slug(self.slug)
        self.name = clean_name(self.name)
        self.time_zone = clean_time_zone(self.time_zone)
        self.profile_template = clean_profile_template(self.profile_template)
        if self.closed_at is not None and self.is_active:  # it would work on until the day it is deleted
            raise ValidationError({"is_active": _("This tenant is closed: take the closing back instead.")})


class TenantKey(TenantScopedModel):
    """What a tenant's recorded text is sealed with in the end: it wraps the keys of the tenant's users, and is itself
    sealed with the platform's master key. No tenant: the platform's own. The one with the highest number wraps, all
    unwrap."""

    config_section = "tenant_keys"
    secret_fields = frozenset({"sealed"})
    sealed_fields = {"sealed": "tenant key"}

    tenant = models.ForeignKey(  # type: ignore[assignment]
        Tenant, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    number = models.PositiveIntegerField(default=1)
    sealed = models.CharField(max_length=300)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ScopedManager()

    class Meta:
        ordering = ["tenant_id", "number"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "number"], name="tenant_key_once"),
            models.UniqueConstraint(
                fields=["number"], condition=models.Q(tenant__isnull=True), name="platform_key_once"
            ),
        ]

    def __str__(self) -> str:
        return f"key {self.number} of {self.tenant_id or 'the platform'}"

    @property
    def seal_id(self) -> int:
        return self.number
