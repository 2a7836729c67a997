"""A tenant's word lists beside the platform's it can have, what it made of those, and what it keeps from models."""

from __future__ import annotations

from typing import Any

from django.db.models import Q
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from access.console.personal import PersonalDataAdmin
from access.console.tenant.scoped import BesideShared, OnlyRow, TenantAdmin, here
from access.console.word_choices import ExceptionsAdmin, SubscriptionAdmin, SubscriptionForm
from access.console.word_form import EDITABLE
from access.console.words import WordListAdmin
from compliance.models import SensitiveWordList
from tenants.models import Tenant

PLATFORMS = ("mandatory", "public")


class OwnLists(BesideShared, WordListAdmin):
    """Of the platform's lists their name and what they do; their words where the platform shows them."""

    area = "words"
    list_filter = ["action", "direction", "enabled"]
    search_fields = ["name"]
    shared_fields = ["name", "action", "direction", "mandatory", "size", "version", "updated_at", "words_shown"]

    def shared(self, request: HttpRequest) -> Q:
        return Q(enabled=True)

    def only(self, request: HttpRequest) -> Tenant:
        return here(request).tenant

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is not None and obj.tenant_id is None:
            return super().get_fieldsets(request, obj)
        return [
            (title, {**options, "fields": [name for name in options["fields"] if name not in PLATFORMS]})
            for title, options in super().get_fieldsets(request, obj)
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [*super().get_readonly_fields(request, obj), "words_shown"]

    @display(description=_("Words"))
    def words_shown(self, words: SensitiveWordList) -> Any:
        if not words.public:
            return _("not shown")
        lines = words.words.splitlines()
        return "\n".join(lines[:EDITABLE]) + ("\n…" if len(lines) > EDITABLE else "")

    def has_words_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        words = self.get_object(request, str(object_id)) if object_id is not None else None
        hidden = words is not None and words.tenant_id is None and not words.public
        return super().has_words_permission(request, object_id) and not hidden


class OwnSubscriptionForm(SubscriptionForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "list" in self.fields:
            lists = self.fields["list"].queryset  # type: ignore[attr-defined]
            self.fields["list"].queryset = lists.filter(enabled=True)  # type: ignore[attr-defined]


class OwnSubscriptions(TenantAdmin, SubscriptionAdmin):
    area = "words"
    form = OwnSubscriptionForm
    search_fields = ["list__name"]


class OwnExceptions(OnlyRow, ExceptionsAdmin):
    area = "words"


class OwnPersonalData(OnlyRow, PersonalDataAdmin):
    area = "words"
