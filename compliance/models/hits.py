"""How often which entry of which list was found: one row a tenant, list, word, action, direction and day."""

from __future__ import annotations

from django.db import models

from compliance.models.words import Action, Direction
from tenants.scoping import TenantScopedModel


class WordHits(TenantScopedModel):
    """`word` is in normal form; empty: the words there was no more room to tell apart. The list may be gone since."""

    list_id = models.BigIntegerField()
    day = models.DateField(help_text="UTC.")
    word = models.CharField(max_length=200, blank=True)
    action = models.CharField(max_length=8, choices=Action.choices)
    direction = models.CharField(max_length=8, choices=Direction.choices)
    count = models.PositiveBigIntegerField(default=0, help_text="Turns in which it was found.")

    class Meta:
        verbose_name = "hits of a word"
        verbose_name_plural = "hits of words"
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "list_id", "day", "word", "action", "direction"], name="word_hits_once"
            )
        ]
        indexes = [
            models.Index(fields=["list_id", "day"], name="word_hits_by_list"),
            models.Index(fields=["day"], name="word_hits_by_day"),
        ]

    def __str__(self) -> str:
        return f"{self.word} {self.day}: {self.count}"
