"""Tenants, the people in them, their keys and the addresses they call from."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Lower

from tenants.scoping import LiveModel, ScopedManager, TenantScopedModel
from tenants.validation import (
    clean_colour,
    clean_line,
    clean_lines,
    clean_model_names,
    clean_name,
    clean_network,
    clean_origins,
    clean_profile_template,
    clean_scopes,
    clean_slug,
)


class User(LiveModel, AbstractUser):
    """A person who can sign in. Their role in a tenant is their membership's; `is_superuser` is the platform."""

    config_section = "members"
    secret_fields = frozenset({"password"})
    quiet_fields = frozenset({"last_login"})

    class Meta(AbstractUser.Meta):
        pass


class StoreLayout(models.TextChoices):
    DATABASE = "database", "A numbered database"
    PREFIX = "prefix", "A prefix and a user of its own"


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
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: unlimited.")
    tokens_per_minute = models.PositiveBigIntegerField(null=True, blank=True, help_text="Empty: unlimited.")
    concurrent_turns = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: unlimited.")
    cache_ttl = models.PositiveIntegerField(
        null=True, blank=True, help_text="Seconds an answer is kept for the same request; empty: none is."
    )
    cache_sampled = models.BooleanField(
        default=False, help_text="Keep answers with a temperature above 0, or without one, too."
    )
    coalesce = models.BooleanField(default=False, help_text="Identical requests at the same time share one call.")
    retention_days = models.PositiveIntegerField(
        null=True, blank=True, help_text="Days a turn stays in the journal; 0: for good; empty: as the platform says."
    )
    legal_hold = models.BooleanField(default=False, help_text="Nothing is removed from the journal, however old.")
    legal_hold_note = models.CharField(max_length=200, blank=True, help_text="Why, and by whom.")
    created_at = models.DateTimeField(auto_now_add=True)

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
        self.profile_template = clean_profile_template(self.profile_template)


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


class Role(models.TextChoices):
    OWNER = "owner", "Owner"
    ADMIN = "admin", "Admin"
    DEVELOPER = "developer", "Developer"
    AUDITOR = "auditor", "Auditor"
    MEMBER = "member", "Member"


class Member(TenantScopedModel):
    """A user's place in a tenant."""

    config_section = "members"

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.MEMBER)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "user"], name="member_once"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="member_role"),
        ]

    def __str__(self) -> str:
        return f"{self.user} ({self.role})"


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


class ConfigVersion(models.Model):
    """A counter a section of the live configuration: workers compare it to what they compiled last."""

    section = models.CharField(max_length=32, primary_key=True)
    version = models.PositiveBigIntegerField(default=0)

    class Meta:
        ordering = ["section"]

    def __str__(self) -> str:
        return f"{self.section} {self.version}"


class Job(TenantScopedModel):
    """Background work somebody waits for: its state and progress, and where the result lies."""

    class State(models.TextChoices):
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    tenant = models.ForeignKey(  # type: ignore[assignment]
        Tenant, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    kind = models.CharField(max_length=64)
    state = models.CharField(max_length=8, choices=State.choices, default=State.QUEUED)
    progress = models.PositiveSmallIntegerField(default=0, help_text="Percent.")
    arguments = models.JSONField(default=dict, blank=True)
    result_name = models.CharField(max_length=300, blank=True, help_text="The object that holds the result.")
    error = models.CharField(max_length=500, blank=True)
    created_by = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = ScopedManager()

    class Meta:
        ordering = ["-id"]
        constraints = [models.CheckConstraint(condition=models.Q(progress__lte=100), name="job_progress")]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"
