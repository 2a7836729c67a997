"""Who signs in, their places in tenants, those who are asked to join one, and operators who look in to help."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Lower
from django.utils.crypto import salted_hmac

from tenants.scoping import LiveModel, TenantScopedModel
from tenants.validation import clean_line


class User(LiveModel, AbstractUser):
    """A person who can sign in. Their role in a tenant is their membership's; `is_superuser` is the platform."""

    config_section = "members"
    secret_fields = frozenset({"password"})
    quiet_fields = frozenset({"last_login"})

    language = models.CharField(
        max_length=16, blank=True, help_text="Of the consoles and of mails; empty: as the browser says."
    )

    signed_out_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When they last signed out everywhere."
    )

    class Meta(AbstractUser.Meta):
        pass

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """What each of their web sessions carries: another password, or signing out everywhere, ends all of them."""
        said = f"{self.password}|{self.signed_out_at.isoformat() if self.signed_out_at else ''}"
        return salted_hmac("tenants.people.session", said, secret=secret, algorithm="sha256").hexdigest()


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


class Invitation(TenantScopedModel):
    """Somebody is asked by mail to join a tenant. The link's secret is in the mail alone; `digest` is its SHA-256."""

    config_section = "members"
    secret_fields = frozenset({"digest"})

    email = models.EmailField(max_length=254)
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.MEMBER)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    invited_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["tenant", "-id"], name="invitation_by_tenant")]
        constraints = [
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="invitation_role"),
            models.UniqueConstraint(
                "tenant",
                Lower("email"),
                condition=models.Q(accepted_at=None, withdrawn_at=None),
                name="invitation_open_once",
                violation_error_message="This address has an open invitation already.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.email} ({self.role})"


class SupportVisit(TenantScopedModel):
    """An operator works in a tenant's console for support. The tenant sees it, and the journal has every change."""

    config_section = "members"

    operator = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=200)
    may_change = models.BooleanField(default=False, help_text="Otherwise it is looking only.")
    started_at = models.DateTimeField(auto_now_add=True)
    ends_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["tenant", "-id"], name="support_by_tenant")]

    def __str__(self) -> str:
        return f"{self.operator}: {self.reason}"

    def clean(self) -> None:
        self.reason = clean_line("reason", self.reason)
