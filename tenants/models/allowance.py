"""What a part of a tenant may use, or what everybody may use of the platform's."""

from __future__ import annotations

from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import models

from tenants.models import amounts
from tenants.models.access import ApiKey
from tenants.models.people import Member
from tenants.models.tenant import AtLimit, Tenant
from tenants.scoping import ScopedManager, TenantScopedModel
from tenants.validation import clean_line


class Allowance(TenantScopedModel):
    """Limits of one member, one key, or one model; without a tenant of the whole platform or of one of its models.

    The tenant's own are columns of `Tenant`. A turn must pass every one that applies to it."""

    class Of(models.TextChoices):
        PLATFORM = "platform", "The platform"
        MEMBER = "member", "A member"
        KEY = "key", "An API key"
        MODEL = "model", "A model"

    config_section = "allowances"

    tenant = models.ForeignKey(  # type: ignore[assignment]
        Tenant, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    of = models.CharField(max_length=8, choices=Of.choices)
    member = models.ForeignKey(Member, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    key = models.ForeignKey(ApiKey, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    model = models.CharField(max_length=200, blank=True, help_text="A model's public name.")
    requests_per_minute = amounts.count()
    tokens_per_minute = amounts.tokens()
    concurrent_turns = amounts.count()
    money_per_day = amounts.money()
    money_per_month = amounts.money()
    at_limit = models.CharField(
        max_length=8, choices=AtLimit.choices, blank=True, help_text="Empty: as the tenant says."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ScopedManager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(of="platform", tenant=None, member=None, key=None, model="")
                | (models.Q(of="model", member=None, key=None) & ~models.Q(model=""))
                | models.Q(of="member", tenant__isnull=False, member__isnull=False, key=None, model="")
                | models.Q(of="key", tenant__isnull=False, member=None, key__isnull=False, model=""),
                name="allowance_subject",
                violation_error_message="Name just the one it is for.",
            ),
            models.UniqueConstraint(
                fields=["member"],
                condition=models.Q(of="member"),
                name="allowance_member_once",
                violation_error_message="There is one for this already.",
            ),
            models.UniqueConstraint(
                fields=["key"],
                condition=models.Q(of="key"),
                name="allowance_key_once",
                violation_error_message="There is one for this already.",
            ),
            models.UniqueConstraint(
                fields=["tenant", "model"],
                condition=models.Q(of="model", tenant__isnull=False),
                name="allowance_model_once",
                violation_error_message="There is one for this already.",
            ),
            models.UniqueConstraint(
                fields=["model"],
                condition=models.Q(of="model", tenant=None),
                name="allowance_shared_model_once",
                violation_error_message="There is one for this already.",
            ),
            models.UniqueConstraint(
                fields=["of"],
                condition=models.Q(of="platform"),
                name="allowance_platform_once",
                violation_error_message="There is one for this already.",
            ),
        ]
        indexes = [models.Index(fields=["tenant", "-id"], name="allowance_by_tenant")]

    def __str__(self) -> str:
        try:
            subject = self.member or self.key or self.model or self.get_of_display()
        except ObjectDoesNotExist:  # it goes with its subject, and is named last
            return f"{self.of} {self.member_id or self.key_id}"
        return str(subject)

    def clean(self) -> None:
        self.model = clean_line("model", self.model)
        for field in ("member", "key"):
            row = getattr(self, field)
            if row is not None and row.tenant_id != self.tenant_id:
                raise ValidationError({field: "There is none like this."})
