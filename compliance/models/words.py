"""Sensitive-word lists as rows: one list a row, its words as lines of one text."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import models, transaction

from compliance.normalising import normalise
from tenants.scoping import TenantScopedModel

LONGEST_WORD: Final = 64
MOST_WORDS: Final = 100_000
SHOWN_MISTAKES: Final = 5


def clean_words(lines: Iterable[str]) -> list[str]:
    """The words, one a line, without blank lines and surrounding space; of those that read the same, the first.

    Raises ValidationError for `words` that names the lines that are too long or hold control characters."""
    words: dict[str, str] = {}
    mistakes: list[str] = []
    for number, line in enumerate(lines, 1):
        word = line.strip("\ufeff \t\r\n\u3000").strip()
        if len(word) > LONGEST_WORD:
            mistakes.append(f"Line {number}: longer than {LONGEST_WORD} characters.")
        elif not all(map(_is_text, word)):
            mistakes.append(f"Line {number}: holds a control character.")
        elif word:
            words.setdefault(normalise(word)[0], word)
    if len(words) > MOST_WORDS:
        mistakes.append(f"{len(words)} words; a list holds at most {MOST_WORDS}.")
    if mistakes:
        raise ValidationError({"words": mistakes[:SHOWN_MISTAKES]})
    return list(words.values())


def _is_text(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp")


class SensitiveWordList(TenantScopedModel):
    """A tenant's list of words and what is done about them. `version` tells apart what the list held when."""

    class Action(models.TextChoices):
        BLOCK = "block", "Block"
        MASK = "mask", "Mask"
        RECORD = "record", "Record"

    class Direction(models.TextChoices):
        INPUT = "input", "To the model"
        OUTPUT = "output", "From the model"
        BOTH = "both", "Both ways"

    config_section = "guard"
    secret_fields = frozenset({"words"})  # a record of a change names the list's version and size, not 60,000 words

    name = models.CharField(max_length=100)
    action = models.CharField(max_length=8, choices=Action.choices, default=Action.BLOCK)
    direction = models.CharField(max_length=8, choices=Direction.choices, default=Direction.BOTH)
    enabled = models.BooleanField(default=True)
    words = models.TextField(blank=True, help_text="One a line.")
    size = models.PositiveIntegerField(default=0, editable=False, help_text="How many words.")
    version = models.PositiveIntegerField(default=0, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "word list"
        ordering = ["tenant_id", "name"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "name"], name="word_list_once"),
            models.CheckConstraint(condition=models.Q(action__in=("block", "mask", "record")), name="word_list_action"),
            models.CheckConstraint(
                condition=models.Q(direction__in=("input", "output", "both")), name="word_list_direction"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, **options: Any) -> None:
        """Counts the version up, in the row and not in memory, so that two savers never share one: workers take a list
        they compiled before for unchanged by its id and version."""
        with transaction.atomic():
            saved = type(self)._base_manager.select_for_update().filter(pk=self.pk).values_list("version", flat=True)
            self.version = (saved.first() or 0) + 1
            self.size = len(self.words.splitlines())
            if options.get("update_fields") is not None:
                options["update_fields"] = {*options["update_fields"], "version", "size", "updated_at"}
            super().save(**options)

    def clean(self) -> None:
        self.words = "\n".join(clean_words(self.words.splitlines()))
