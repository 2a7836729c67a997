"""What a tenant makes of the platform's word lists, and what it lets pass."""

from __future__ import annotations

from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import models, transaction

from compliance.models.words import Action, SensitiveWordList
from compliance.validation import clean_words
from tenants.scoping import TenantScopedModel

MOST_EXCEPTIONS: Final = 10_000


class WordListSubscription(TenantScopedModel):
    """A tenant has a list of the platform's, at the list's stage or at one of its own."""

    config_section = "guard"

    list = models.ForeignKey(
        SensitiveWordList,
        on_delete=models.CASCADE,
        related_name="subscriptions",
        limit_choices_to={"tenant__isnull": True},
    )
    action = models.CharField(
        "stage",
        max_length=8,
        choices=Action.choices,
        blank=True,
        help_text="Empty: the list's. Of a mandatory list only a stronger one than the list's counts.",
    )
    updated_by = models.CharField(max_length=100, blank=True, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "subscription to a word list"
        verbose_name_plural = "subscriptions to word lists"
        ordering = ["tenant_id", "list_id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "list"], name="word_subscription_once", violation_error_message="It has this list."
            ),
            models.CheckConstraint(
                condition=models.Q(action__in=["", *Action.values]), name="word_subscription_action"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tenant}: {self.list}"

    def clean(self) -> None:
        if self.list_id is not None and self.list.tenant_id is not None:
            raise ValidationError({"list": "Only lists of the platform's can be subscribed to."})


class WordExceptions(TenantScopedModel):
    """A tenant's white list: text in which a listed word is no hit. One row a tenant."""

    config_section = "guard"
    secret_fields = frozenset({"words"})  # as of a list: a record of a change names version and size

    words = models.TextField(blank=True, help_text="One a line.")
    size = models.PositiveIntegerField(default=0, editable=False, help_text="How many.")
    version = models.PositiveIntegerField(default=0, editable=False)
    updated_by = models.CharField(max_length=100, blank=True, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "exceptions"
        verbose_name_plural = "exceptions"
        ordering = ["tenant_id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant"],
                name="word_exceptions_once",
                violation_error_message="This tenant has exceptions already: change those.",
            )
        ]

    def __str__(self) -> str:
        return str(self.tenant)

    def save(self, **options: Any) -> None:
        """Counts the version up as a list does."""
        with transaction.atomic():
            saved = type(self)._base_manager.select_for_update().filter(pk=self.pk).values_list("version", flat=True)
            self.version = (saved.first() or 0) + 1
            self.size = len(self.words.splitlines())
            super().save(**options)

    def clean(self) -> None:
        self.words = "\n".join(clean_words(self.words.splitlines(), most=MOST_EXCEPTIONS))
