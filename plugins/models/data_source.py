from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models

from plugins.databases.validation import clean_tables
from tenants.scoping import TenantScopedModel
from tenants.validation import clean_lines


class DataSource(TenantScopedModel):
    """A database of a tenant's, and what of it may be read to answer questions.

    `plugins.databases.services.save_source` seals its address: nobody else writes `sealed_url`, `dialect`, `place`.
    `may_write` is what the last look said of the role, None before there was one."""

    config_section = "plugins"
    secret_fields = frozenset({"sealed_url"})
    quiet_fields = frozenset({"may_write", "looked_at"})
    sealed_fields = {"sealed_url": "database address"}

    class Dialect(models.TextChoices):
        SQLITE = "sqlite", "SQLite"
        POSTGRESQL = "postgresql", "PostgreSQL"
        MYSQL = "mysql", "MySQL"

    name = models.CharField(
        max_length=64,
        validators=[RegexValidator(r"^[a-z0-9][a-z0-9_-]*\Z", "Small letters, digits, - and _ only.")],
        help_text="What requests and settings call it: small letters, digits, - and _.",
    )
    description = models.TextField(blank=True, help_text="What is in it, for the model.")
    enabled = models.BooleanField(default=True)
    dialect = models.CharField(max_length=16, choices=Dialect.choices, editable=False)
    place = models.CharField(max_length=400, editable=False)
    sealed_url = models.TextField(blank=True, editable=False)
    allow_private = models.BooleanField(default=False, help_text="It may lie in a private network.")
    tables = models.JSONField(default=list, blank=True, help_text="The tables and columns that may be read.")
    row_limit = models.PositiveIntegerField(
        default=100,
        validators=[MinValueValidator(1), MaxValueValidator(1000)],
        help_text="Rows of one query, at most.",
    )
    time_limit = models.FloatField(
        default=5.0,
        validators=[MinValueValidator(0.1), MaxValueValidator(30)],
        help_text="Seconds that one query may take.",
    )
    cost_limit = models.FloatField(
        null=True,
        blank=True,
        default=1_000_000.0,
        validators=[MinValueValidator(1), MaxValueValidator(1e15)],
        help_text="What the database's planner may expect a query to cost, in its own units; empty: anything.",
    )
    may_write = models.BooleanField(null=True, editable=False)
    looked_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "database"
        ordering = ["tenant_id", "name"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "name"],
                name="data_source_once",
                violation_error_message="There is a database of this name already.",
            ),
            models.CheckConstraint(
                condition=models.Q(dialect__in=["sqlite", "postgresql", "mysql"]), name="data_source_dialect"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        self.description = clean_lines("description", self.description, 2_000)
        try:
            self.tables = clean_tables(self.tables)
        except ValueError as error:
            raise ValidationError({"tables": str(error)}) from None
