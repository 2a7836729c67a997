"""Sensitive-word lists as rows: one list a row, its words as lines of one text; and every version of it."""

from __future__ import annotations

import zlib
from typing import Any, Final

from django.db import models, transaction

from compliance.validation import clean_switches, clean_words, default_switches
from tenants.scoping import ScopedManager, TenantScopedModel
from tenants.validation import clean_name

KEPT_VERSIONS: Final = 50  # of a list; 60,000 random Chinese words take 520 KB a version


class Action(models.TextChoices):
    """What is done about a hit, from the mildest: a list goes through them in stages."""

    RECORD = "record", "Record"
    MASK = "mask", "Mask"
    BLOCK = "block", "Block"

    @property
    def strength(self) -> int:
        return list(Action).index(self)


class Direction(models.TextChoices):
    INPUT = "input", "To the model"
    OUTPUT = "output", "From the model"
    BOTH = "both", "Both ways"


class SensitiveWordList(TenantScopedModel):
    """Words and what is done about them: a tenant's, or the platform's (no tenant), which tenants subscribe to.

    `version` tells apart what the list held when; `note` says of the save to come what it was for."""

    Action = Action
    Direction = Direction

    config_section = "guard"
    secret_fields = frozenset({"words"})  # a record of a change names the list's version and size, not 60,000 words
    note = ""

    tenant = models.ForeignKey(  # type: ignore[assignment]
        "tenants.Tenant", null=True, blank=True, on_delete=models.CASCADE, related_name="+",
        help_text="Empty: the platform's, for tenants to subscribe to.",
    )  # fmt: skip
    name = models.CharField(max_length=100)
    action = models.CharField("stage", max_length=8, choices=Action.choices, default=Action.BLOCK)
    direction = models.CharField(max_length=8, choices=Direction.choices, default=Direction.BOTH)
    switches = models.JSONField(
        default=default_switches, blank=True, help_text="Which disguises of a word are seen through."
    )
    enabled = models.BooleanField(default=True)
    mandatory = models.BooleanField(
        default=False, help_text="Of the platform's: applies to every tenant, subscribed or not."
    )
    public = models.BooleanField(default=False, help_text="Of the platform's: tenants may read its words.")
    words = models.TextField(blank=True, help_text="One a line.")
    size = models.PositiveIntegerField(default=0, editable=False, help_text="How many words.")
    version = models.PositiveIntegerField(default=0, editable=False)
    updated_by = models.CharField(max_length=100, blank=True, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ScopedManager()

    class Meta:
        verbose_name = "word list"
        ordering = ["tenant_id", "name"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "name"], name="word_list_once"),
            models.UniqueConstraint(
                fields=["name"],
                condition=models.Q(tenant__isnull=True),
                name="word_list_once_platform",
                violation_error_message="The platform has a list of this name.",
            ),
            models.CheckConstraint(condition=models.Q(action__in=Action.values), name="word_list_action"),
            models.CheckConstraint(condition=models.Q(direction__in=Direction.values), name="word_list_direction"),
            models.CheckConstraint(
                condition=models.Q(tenant__isnull=True) | models.Q(mandatory=False, public=False),
                name="word_list_platform_only",
                violation_error_message="Only a list of the platform's can be mandatory or public.",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, **options: Any) -> None:
        """Counts the version up, in the row and not in memory, so that two savers never share one: workers take a list
        they compiled before for unchanged by its id and version. What is then stored is kept as that version."""
        rows = type(self)._base_manager
        with transaction.atomic():
            saved = rows.select_for_update().filter(pk=self.pk).values_list("version", flat=True)
            self.version = (saved.first() or 0) + 1
            self.size = len(self.words.splitlines())
            partial = options.get("update_fields") is not None
            if partial:
                options["update_fields"] = {*options["update_fields"], "version", "size", "updated_by", "updated_at"}
            super().save(**options)
            WordListVersion.keep(rows.get(pk=self.pk) if partial else self, self.note)

    def clean(self) -> None:
        self.name = clean_name(self.name)
        self.words = "\n".join(clean_words(self.words.splitlines()))
        self.switches = clean_switches(self.switches)


class WordListVersion(TenantScopedModel):
    """A list as it was saved once. `tenant` is the list's; the words are compressed. Nobody changes these."""

    tenant = models.ForeignKey(  # type: ignore[assignment]
        "tenants.Tenant", null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    list = models.ForeignKey(SensitiveWordList, on_delete=models.CASCADE, related_name="versions")
    version = models.PositiveIntegerField()
    action = models.CharField("stage", max_length=8, choices=Action.choices)
    direction = models.CharField(max_length=8, choices=Direction.choices)
    switches = models.JSONField()
    enabled = models.BooleanField()
    size = models.PositiveIntegerField()
    packed = models.BinaryField()
    saved_by = models.CharField(max_length=100, blank=True)
    saved_at = models.DateTimeField()
    note = models.CharField(max_length=200, blank=True)

    objects = ScopedManager()

    class Meta:
        verbose_name = "version of a word list"
        verbose_name_plural = "versions of word lists"
        ordering = ["list_id", "-version"]
        constraints = [models.UniqueConstraint(fields=["list", "version"], name="word_list_version_once")]

    def __str__(self) -> str:
        return f"{self.list_id} v{self.version}"

    @property
    def words(self) -> str:
        return zlib.decompress(self.packed).decode()

    @classmethod
    def keep(cls, words: SensitiveWordList, note: str = "") -> None:
        """The list as a version; those before the last `KEPT_VERSIONS` go."""
        cls._base_manager.create(
            tenant_id=words.tenant_id,
            list=words,
            version=words.version,
            action=words.action,
            direction=words.direction,
            switches=words.switches,
            enabled=words.enabled,
            size=words.size,
            packed=zlib.compress(words.words.encode()),
            saved_by=words.updated_by,
            saved_at=words.updated_at,
            note=note,
        )
        cls._base_manager.filter(list=words, version__lte=words.version - KEPT_VERSIONS).delete()
