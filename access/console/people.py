"""Screens of the tenants app: tenants, people, keys, addresses, jobs."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from access.console.scoped import PlatformAdmin, ReadOnlyAdmin
from tenants import services
from tenants.models import ApiKey, Tenant
from tenants.validation import SCOPES


class TenantAdmin(PlatformAdmin):
    list_display = [
        "name",
        "slug",
        "is_active",
        "store_database",
        "requests_per_minute",
        "concurrent_turns",
        "created_at",
    ]
    list_filter = ["is_active"]
    search_fields = ["name", "slug"]
    readonly_fields = ["store_database", "created_at"]

    def save_model(self, request: HttpRequest, obj: Tenant, form: forms.ModelForm[Tenant], change: bool) -> None:
        if change:
            obj.save()
            return
        made = services.create_tenant(**{name: form.cleaned_data[name] for name in form.cleaned_data})
        obj.pk, obj.store_database, obj._state.adding = made.pk, made.store_database, False


class UserAdmin(PlatformAdmin, DjangoUserAdmin):  # type: ignore[type-arg]
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["username", "email", "is_active", "is_superuser", "last_login"]
    list_filter = ["is_active", "is_superuser"]
    fieldsets = [
        (None, {"fields": ["username", "password"]}),
        (_("Person"), {"fields": ["first_name", "last_name", "email"]}),
        (_("Access"), {"fields": ["is_active", "is_superuser"]}),
    ]


class MemberAdmin(PlatformAdmin):
    list_display = ["user", "tenant", "role", "is_active"]
    list_filter = ["role", "is_active", "tenant"]
    list_select_related = ["user", "tenant"]
    search_fields = ["user__username", "user__email", "tenant__slug"]
    autocomplete_fields = ["user", "tenant"]


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]
    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in SCOPES],
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=_("None: chat and sessions."),
    )

    class Meta:
        model = ApiKey
        fields = ["tenant", "name", "scopes", "expires_at"]


class ApiKeyAdmin(PlatformAdmin):
    form = ApiKeyForm
    list_display = ["name", "tenant", "hint", "state", "created_at", "expires_at"]
    list_filter = ["tenant", ("revoked_at", admin.EmptyFieldListFilter)]
    list_select_related = ["tenant"]
    search_fields = ["name", "hint", "tenant__slug"]
    autocomplete_fields = ["tenant"]
    actions = ["revoke"]

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return obj is None  # a key is made and revoked, never edited

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def get_fields(self, request: HttpRequest, obj: models.Model | None = None) -> list[str]:
        made = ["hint", "created_by", "created_at", "revoked_at"] if obj is not None else []
        return ["tenant", "name", "scopes", "expires_at", *made]

    @display(description=_("State"), label={"active": "success", "revoked": "danger"})
    def state(self, key: ApiKey) -> str:
        return "revoked" if key.revoked_at else "active"

    def save_model(self, request: HttpRequest, obj: ApiKey, form: forms.ModelForm[ApiKey], change: bool) -> None:
        data = form.cleaned_data
        made, plain = services.create_api_key(
            tenant=data["tenant"],
            name=data["name"],
            scopes=data["scopes"],
            expires_at=data["expires_at"],
            created_by=request.user if request.user.is_authenticated else None,
        )
        obj.pk, obj.hint, obj._state.adding = made.pk, made.hint, False
        messages.warning(
            request,
            format_html(
                "{} <code style='user-select:all'>{}</code>", _("Copy the key now, it is not shown again:"), plain
            ),
        )

    @admin.action(description=_("Revoke the chosen keys"), permissions=["add"])
    def revoke(self, request: HttpRequest, keys: models.QuerySet[ApiKey]) -> HttpResponse | None:
        for key in keys:
            services.revoke_api_key(key=key)
        self.message_user(request, _("Revoked: they are refused everywhere within two seconds."))
        return None


class IpRuleAdmin(PlatformAdmin):
    list_display = ["network", "tenant", "note", "created_at"]
    list_filter = ["tenant"]
    list_select_related = ["tenant"]
    search_fields = ["network", "note", "tenant__slug"]
    autocomplete_fields = ["tenant"]


class JobAdmin(ReadOnlyAdmin):
    list_display = ["kind", "tenant", "state", "progress", "created_at", "finished_at"]
    list_filter = ["state", "kind", "tenant"]
    list_select_related = ["tenant"]

    def get_ordering(self, request: HttpRequest) -> list[Any]:
        return ["-id"]
