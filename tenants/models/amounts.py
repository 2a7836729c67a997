"""Columns that limit something: what a tenant, a part of it or the platform may use."""

from __future__ import annotations

from typing import Any, Final

from django.core.validators import MinValueValidator
from django.db import models

UNLIMITED: Final = "Empty: unlimited."


def count() -> models.PositiveIntegerField[Any, Any]:
    return models.PositiveIntegerField(null=True, blank=True, help_text=UNLIMITED)


def tokens() -> models.PositiveBigIntegerField[Any, Any]:
    return models.PositiveBigIntegerField(null=True, blank=True, help_text=UNLIMITED)


def money(help_text: str = UNLIMITED) -> models.DecimalField[Any, Any]:
    """In the unit prices are in, down to a millionth of it."""
    return models.DecimalField(
        max_digits=14,
        decimal_places=6,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text=help_text,
    )
