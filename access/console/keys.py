"""Screen of API keys. A key is made, shown once, and revoked; it is never edited or deleted."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from access.console.dialogs import action
from access.console.scoped import BY_TENANT, PlatformAdmin, PlatformForm
from tenants import services
from tenants.models import ApiKey
from tenants.validation import DEFAULT_SCOPES, SCOPES

LAST_YEAR = 3000  # as the API has it: what lies at the end of all dates has no place in other time zones
COLOURS = {"active": "success", "expired": "warning", "revoked": "danger"}
MEANING = {
    "chat": _("chat: ask models"),
    "sessions": _("sessions: read and change conversations"),
    "audit": _("audit: read the journal of the tenant"),
    "manage": _("manage: change members, models, rules and word lists"),
}


class ApiKeyForm(PlatformForm):
    scopes = forms.MultipleChoiceField(
        choices=[(scope, MEANING[scope]) for scope in SCOPES],
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=_("None: chat and sessions."),
    )

    class Meta:
        model = ApiKey
        fields = ["tenant", "name", "scopes", "expires_at"]
        help_texts = {"expires_at": _("UTC; empty: never.")}

    def clean_expires_at(self) -> Any:
        expires = self.cleaned_data["expires_at"]
        if expires is not None and expires <= timezone.now():
            raise forms.ValidationError(_("This time is over."))
        if expires is not None and expires.year >= LAST_YEAR:
            raise forms.ValidationError(_("This is too far away; empty: never."))
        return expires


class ByState(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("active", _("active")), ("expired", _("expired")), ("revoked", _("revoked"))]

    def queryset(self, request: HttpRequest, rows: models.QuerySet[Any]) -> models.QuerySet[Any]:
        over = models.Q(revoked_at=None, expires_at__lte=timezone.now())
        wanted = {"active": ~over & models.Q(revoked_at=None), "expired": over, "revoked": ~models.Q(revoked_at=None)}
        return rows.filter(wanted[self.value() or ""]) if self.value() in wanted else rows


class ApiKeyAdmin(PlatformAdmin):
    form = ApiKeyForm
    list_display = ["name", "owner", "hint", "state", "may", "created_at", "expires_at"]
    list_filter = [ByState, BY_TENANT]
    list_select_related = ["tenant"]
    search_fields = ["name", "hint", "tenant__slug", "tenant__name"]
    search_help_text = _("Name, first characters or tenant")
    autocomplete_fields = ["tenant"]
    actions = ["revoke_chosen"]
    actions_detail = ["revoke"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_fields(self, request: HttpRequest, obj: models.Model | None = None) -> list[str]:
        if obj is None:
            return ["tenant", "name", "scopes", "expires_at"]
        return ["tenant", "name", "standing", "may", "hint", "created_by", "created_at", "expires_at", "revoked_at"]

    @display(description=_("State"), label=COLOURS)
    def state(self, key: ApiKey) -> tuple[str, Any]:
        if key.revoked_at:
            return "revoked", _("revoked")
        if key.expires_at and key.expires_at <= timezone.now():
            return "expired", _("expired")
        return "active", _("active")

    @display(description=_("State"))
    def standing(self, key: ApiKey) -> Any:
        """The same for the page of one key, where there are no labels."""
        return self.state(key)[1]

    @display(description=_("Scopes"))
    def may(self, key: ApiKey) -> str:
        return ", ".join(key.scopes or [scope for scope in SCOPES if scope in DEFAULT_SCOPES])

    def save_model(self, request: HttpRequest, obj: ApiKey, form: forms.ModelForm[ApiKey], change: bool) -> None:
        made, plain = services.create_api_key(
            tenant=obj.tenant,
            name=form.cleaned_data["name"],
            scopes=form.cleaned_data["scopes"],
            expires_at=form.cleaned_data["expires_at"],
            created_by=request.user if request.user.is_authenticated else None,
        )
        obj.pk, obj.hint, obj._state.adding = made.pk, made.hint, False
        request.new_api_key = plain  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        """The key itself, in this answer and never again: no redirect, so neither a cookie nor a cache keeps it."""
        return self.revealed(request, obj, request.new_api_key)  # type: ignore[attr-defined]

    def revealed(self, request: HttpRequest, key: ApiKey, plain: str) -> HttpResponse:
        page = self.framed(request, "new_key.html", title=_("New API key"), key=key, plain=plain)
        page.headers["Cache-Control"] = "no-store"
        return page

    @admin.action(description=_("Revoke the chosen keys"), permissions=["add"])
    def revoke_chosen(self, request: HttpRequest, keys: models.QuerySet[ApiKey]) -> None:
        for key in keys:
            if self.has_press_permission(request, key):
                services.revoke_api_key(key=key)
        self.message_user(request, _("Revoked: they are refused everywhere within two seconds."))

    @action(
        description=_("Revoke"),
        icon="block",
        permissions=["press"],
        dialog={
            "title": _("Revoke this key?"),
            "description": _("Its callers are refused everywhere within two seconds. This cannot be undone."),
            "form_submit_text": _("Revoke"),
        },
    )
    def revoke(self, request: HttpRequest, form: BaseDialogForm, object_id: int) -> HttpResponse:
        services.revoke_api_key(key=self.pressed(request, object_id))
        self.message_user(request, _("Revoked: it is refused everywhere within two seconds."))
        return HttpResponse(headers={"HX-Redirect": self.link("change", object_id)})
