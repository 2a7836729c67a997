"""Which personal data a tenant keeps from models."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import models

from compliance.personal.scanning import NAMES
from tenants.scoping import TenantScopedModel


class PersonalData(TenantScopedModel):
    """A tenant's recognisers that are switched on; without a row, or with an empty list, nothing is masked."""

    config_section = "personal"

    recognisers = models.JSONField(default=list, blank=True)

    class Meta:
        verbose_name = "personal data"
        verbose_name_plural = "personal data"
        ordering = ["tenant_id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant"],
                name="personal_data_once",
                violation_error_message="This tenant's personal data is set already.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.tenant}: {', '.join(self.recognisers) or '—'}"

    def clean(self) -> None:
        self.recognisers = clean_recognisers(self.recognisers)


def clean_recognisers(given: object) -> list[str]:
    """Known names, each once, in the order of the documentation. Raises ValidationError for `recognisers`."""
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise ValidationError({"recognisers": "A list of names."})
    unknown = [name for name in given if name not in NAMES]
    if unknown:
        raise ValidationError({"recognisers": f"There is no recogniser {unknown[0]!r}; known: {', '.join(NAMES)}."})
    return [name for name in NAMES if name in given]
