"""Screens of what tenants make of word lists: which of the platform's they have, and what they let pass."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db import models
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget

from access.console.scoped import BY_TENANT, PlatformAdmin, PlatformForm
from access.console.words import STAGES
from compliance.models import WordExceptions, WordListSubscription
from compliance.models.words import Action
from compliance.wordlists import lists_of


class SubscriptionForm(PlatformForm):
    blamed = "list"

    class Meta:
        model = WordListSubscription
        fields = ["tenant", "list", "action"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "list" in self.fields:  # it is not where somebody only reads
            self.fields["list"].queryset = lists_of(None).defer("words").order_by("name")  # type: ignore[attr-defined]


class NotedAdmin(PlatformAdmin):
    """Rows that say who saved them last."""

    list_filter = [BY_TENANT]
    autocomplete_fields = ["tenant"]
    readonly_fields = ["updated_at", "updated_by"]

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm[Any], change: bool) -> None:
        obj.updated_by = self.by(request)
        super().save_model(request, obj, form, change)


class SubscriptionAdmin(NotedAdmin):
    form = SubscriptionForm
    list_display = ["list", "owner", "stage", "updated_at"]
    list_select_related = ["tenant", "list"]
    search_fields = ["list__name", "tenant__slug", "tenant__name"]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        return super().get_queryset(request).defer("list__words")

    @display(description=_("Stage"), ordering="action", label=STAGES)
    def stage(self, row: WordListSubscription) -> tuple[str, Any]:
        return (row.action, Action(row.action).label) if row.action else (row.list.action, _("as the list"))


class ExceptionsForm(PlatformForm):
    blamed = "tenant"

    words = forms.CharField(
        label=_("Exceptions"),
        required=False,
        strip=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 12}),
        help_text=_("One a line. A listed word inside one of these is no hit, but of a mandatory list."),
    )

    class Meta:
        model = WordExceptions
        fields = ["tenant", "words"]


class ExceptionsAdmin(NotedAdmin):
    form = ExceptionsForm
    list_display = ["owner", "size", "version", "updated_at"]
    list_display_links = ["owner"]
    list_select_related = ["tenant"]
    search_fields = ["tenant__slug", "tenant__name", "words"]
    readonly_fields = ["size", "version", *NotedAdmin.readonly_fields]
