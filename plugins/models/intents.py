from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from plugins.intents import validation
from tenants.scoping import TenantScopedModel


class Intent(TenantScopedModel):
    """Something a tenant's users may want, and how they say it. What turns of this tenant are taken for."""

    config_section = "intents"

    name = models.CharField(max_length=validation.LONGEST_NAME, help_text="What rules and plugins call it.")
    description = models.CharField(max_length=200, blank=True)
    utterances = models.TextField(blank=True, help_text="One a line, as people say it: ten or more, in each language.")
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "intent"
        ordering = ["tenant_id", "name"]
        constraints = [models.UniqueConstraint(fields=["tenant", "name"], name="intent_once")]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        errors: dict[str, object] = {}
        try:
            self.name = validation.clean_name(self.name)
        except ValidationError as error:
            errors["name"] = error
        try:
            self.utterances = "\n".join(validation.clean_utterances(self.utterances.splitlines()))
        except ValidationError as error:
            errors["utterances"] = error
        if errors:
            raise ValidationError(errors)

    @property
    def examples(self) -> list[str]:
        return self.utterances.splitlines()


class IntentSettings(TenantScopedModel):
    """What goes for all intents of a tenant: when a text is none of them."""

    config_section = "intents"

    threshold = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0.0), MaxValueValidator(1.0)],
        help_text="The score from which an intent is named, 0 to 1. Empty: the one found in training.",
    )
    outside = models.TextField(blank=True, help_text="One a line: what people say that is none of the intents.")

    class Meta:
        verbose_name = "intent settings"
        verbose_name_plural = "intent settings"
        constraints = [models.UniqueConstraint(fields=["tenant"], name="intent_settings_once")]

    def __str__(self) -> str:
        return str(self.tenant)

    def clean(self) -> None:
        try:
            self.outside = "\n".join(validation.clean_utterances(self.outside.splitlines()))
        except ValidationError as error:
            raise ValidationError({"outside": error}) from None


class TrainedIntents(TenantScopedModel):
    """What was learnt from a tenant's intents, made by a worker. `wanted` counts the changes of what is to be learnt,
    `revision` is the one that `model` was trained from. Not configuration: it follows from it."""

    wanted = models.PositiveBigIntegerField(default=0)
    revision = models.PositiveBigIntegerField(default=0)
    model = models.BinaryField(null=True, editable=False)
    vectors = models.CharField(max_length=64, blank=True)
    report = models.JSONField(default=dict, blank=True)
    failed = models.CharField(max_length=200, blank=True)
    trained_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "trained intents"
        verbose_name_plural = "trained intents"
        constraints = [models.UniqueConstraint(fields=["tenant"], name="trained_intents_once")]

    def __str__(self) -> str:
        return f"revision {self.revision} of {self.wanted}"
