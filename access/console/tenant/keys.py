"""A tenant's API keys: made with no more than one's own role may, limited, made anew, revoked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.contrib.admin.utils import display_for_value
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminSelectWidget

from access.console.keys import MEANING, ApiKeyAdmin, ApiKeyForm, ByState
from access.console.tenant.limit_fields import LimitFields
from access.console.tenant.scoped import TenantAdmin, here
from access.last_use import last_use_of
from tenants import roles, services
from tenants.allowances import save_allowance
from tenants.models import Allowance, ApiKey, User
from tenants.validation import SCOPES

DAY = 24 * 3600
GRACES = [
    (0, _("at once")),
    (3600, _("in an hour")),
    (DAY, _("in a day")),
    (7 * DAY, _("in 7 days")),
    (30 * DAY, _("in 30 days")),
]


class OwnKeyForm(LimitFields, ApiKeyForm):
    class Meta(ApiKeyForm.Meta):
        help_texts = {"expires_at": _("In the tenant's time zone; empty: never.")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "scopes" in self.fields:
            role = self.place.role  # type: ignore[attr-defined]
            given = [(scope, MEANING[scope]) for scope in SCOPES if roles.may_give(role, [scope])]
            self.fields["scopes"].choices = given  # type: ignore[attr-defined]


class RotateForm(forms.Form):
    grace = forms.TypedChoiceField(
        label=_("The old key ends"), choices=GRACES, coerce=int, initial=DAY, widget=UnfoldAdminSelectWidget
    )


class OwnKeys(TenantAdmin, ApiKeyAdmin):
    area = "keys"
    form = OwnKeyForm
    list_display = ["name", "hint", "state", "may", "used", "created_at", "expires_at"]
    list_filter = [ByState]
    list_select_related = []
    search_fields = ["name", "hint"]
    search_help_text = _("Name or first characters")
    actions_detail = ["rotate", "revoke"]

    def get_fields(self, request: HttpRequest, obj: models.Model | None = None) -> list[str]:
        if obj is None:
            return ["name", "scopes", "expires_at", *LimitFields.NAMES]
        return [*super().get_fields(request, obj), "used_last", "limits", "made_of"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_press_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody takes a key in hand that may do more than they could give."""
        if not super().has_press_permission(request, obj):
            return False
        return not isinstance(obj, ApiKey) or roles.may_give(here(request).role, obj.scopes)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """When the keys of the page were used last is asked once for all of them."""
        changes = super().get_changelist_instance(request)
        changes.result_list = list(changes.result_list)
        _note_last_use(here(request).tenant.pk, changes.result_list)
        return changes

    @display(description=_("Last used"))
    def used(self, key: ApiKey) -> datetime | None:
        return getattr(key, "_used", None)

    @display(description=_("Last used"))
    def used_last(self, key: ApiKey) -> Any:
        known = _note_last_use(key.tenant_id, [key])
        if (used := self.used(key)) is not None:
            return display_for_value(used, "")  # as the list writes it
        return _("never") if known else _("unknown")

    @display(description=_("Limits"))
    def limits(self, key: ApiKey) -> Any:
        found = Allowance.objects.for_tenant(key.tenant_id).filter(key=key).first()
        if found is None:
            return _("the tenant's alone")
        return _linked(self.beside("tenants_allowance_change", found.pk), _("some of its own"))

    @display(description=_("Made in the place of"))
    def made_of(self, key: ApiKey) -> Any:
        return _linked(self.link("change", key.replaces_id), key.replaces) if key.replaces is not None else "—"

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            if limits := form.limits():
                save_allowance(tenant=obj.tenant, of=Allowance.Of.KEY, key=obj, **limits)

    @action(description=_("Rotate"), icon="autorenew", permissions=["press"])
    def rotate(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """A new key of the same settings: what it is, is in this answer alone, as with a first one."""
        old = self.pressed(request, object_id)
        form = RotateForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            grace = timedelta(seconds=form.cleaned_data["grace"])
            try:
                made, plain = services.rotate_api_key(key=old, grace=grace, created_by=_person(request))
            except ValidationError as error:
                form.add_error("grace", error.messages)
            else:
                return self.revealed(request, made, plain)
        return self.framed(request, "rotate.html", title=_("Rotate a key"), key=old, form=form)


def _person(request: HttpRequest) -> User | None:
    return request.user if isinstance(request.user, User) else None


def _note_last_use(tenant_id: int, keys: list[ApiKey]) -> bool:
    """False: it cannot be read now."""
    found = last_use_of(tenant_id, [key.pk for key in keys])
    for key in keys:
        at = found.get(key.pk) if found is not None else None
        key._used = datetime.fromtimestamp(at, UTC) if at is not None else None  # type: ignore[attr-defined]
    return found is not None


def _linked(address: str, text: Any) -> Any:
    return format_html('<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>', address, text)
