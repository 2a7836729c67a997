"""Screen of the erasures: who (a pseudonym) was erased when, the certificate, and a form to erase one more user."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.files.storage import default_storage
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from access.console.people import JOB_COLOURS
from access.console.scoped import BY_TENANT, PlatformAdmin
from access.erasure_requests import LONGEST, checked, prepare_erasure, tell_worker
from compliance.models import Erasure
from engine.errors import EngineError


class ErasureForm(forms.ModelForm):  # type: ignore[type-arg]
    user = forms.CharField(
        label=_("User"),
        max_length=LONGEST,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("As the journal calls them: 12 (a member), key:7, key:7:alice. All they said is gone for good."),
    )

    class Meta:
        model = Erasure
        fields = ["tenant"]

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        tenant = data.get("tenant") or (self.instance.tenant if self.instance.tenant_id is not None else None)
        if tenant is not None and data.get("user"):
            try:
                checked(tenant=tenant, user=data["user"])
            except EngineError as error:
                raise forms.ValidationError(f"{error.message} ({error.code})") from None
        return data


class ErasureAdmin(PlatformAdmin):
    """Rows are made by the form and the work; nobody changes or removes one."""

    list_display = ["short", "owner", "outcome", "requested_by", "requested_at", "erased_at"]
    list_filter = [BY_TENANT]
    list_select_related = ["tenant", "job"]
    search_fields = ["subject", "tenant__slug"]
    autocomplete_fields = ["tenant"]
    form = ErasureForm

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        if obj is None:
            return ["tenant", "user"]
        return ["owner", "subject", "requested_by", "requested_at", "erased_at", "standing", "paper"]

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        made = prepare_erasure(
            tenant=obj.tenant, user=form.cleaned_data["user"], created_by=request.user.get_username()
        )
        for field in made._meta.concrete_fields:
            setattr(obj, field.attname, getattr(made, field.attname))
        request.erasure = made  # type: ignore[attr-defined]

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """The form is saved in a transaction; only behind its end can a worker find what it is told of."""
        response = super().changeform_view(request, *args, **kwargs)
        if (made := getattr(request, "erasure", None)) is not None:
            try:
                tell_worker(made)
            except EngineError as error:
                self.message_user(request, f"{error.message} ({error.code})", "error")
        return response

    @display(description=_("Pseudonym"))
    def short(self, row: Erasure) -> str:
        return f"{row.subject[:12]}…"

    @display(description=_("State"), label=JOB_COLOURS)
    def outcome(self, row: Erasure) -> tuple[str, Any]:
        if row.job is not None:
            return row.job.state, f"{row.job.get_state_display()} {row.job.error}".strip()
        return ("done", _("Done")) if row.certificate else ("failed", _("Failed"))

    @display(description=_("State"))
    def standing(self, row: Erasure) -> Any:
        return self.outcome(row)[1]

    @display(description=_("Certificate"))
    def paper(self, row: Erasure) -> Any:
        if not row.certificate:
            return _("None yet.")
        try:
            with default_storage.open(row.certificate) as file:
                text = json.dumps(json.load(file), indent=2, ensure_ascii=False)
        except (OSError, ValueError):
            return _("It lies at %s and cannot be read now.") % row.certificate
        return format_html('<pre class="turn-json">{}</pre>', text)
