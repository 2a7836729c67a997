"""Who belongs to a tenant, and who has been asked to."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.forms import BaseDialogForm

from access.console.dialogs import action
from access.console.people import MemberAdmin, MemberForm
from access.console.screen import ConsoleForm
from access.console.tenant.scoped import TenantAdmin, here
from access.people import web_sessions
from access.translating import choices as in_words
from tenants import invitations, membership, roles
from tenants.models import Invitation, Member, Role

COLOURS = {"open": "info", "accepted": "success", "over": "warning", "withdrawn": "danger"}


def offered(role: str, kept: str = "") -> list[tuple[str, Any]]:
    """The roles that somebody of this role may make somebody, and the one they have."""
    return [(name, label) for name, label in in_words(Role) if roles.may_grant(role, name) or name == kept]


class OwnMemberForm(MemberForm):
    """What the services refuse is said at the field: they are asked before anything is saved."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "role" in self.fields:
            kept = self.instance.role
            self.fields["role"].choices = offered(self.place.role, kept)  # type: ignore[attr-defined]


class OwnMembers(TenantAdmin, MemberAdmin):
    """People come by invitation; here their role is changed, their place switched off, or taken away."""

    area = "members"
    form = OwnMemberForm
    list_display = ["user", "role", "standing", "created_at"]
    list_filter = ["role", "is_active"]
    list_select_related = ["user"]
    search_fields = ["user__username", "user__email"]
    readonly_fields = ["user", "email", "created_at"]
    fields = ["user", "email", "role", "is_active", "created_at"]
    actions_detail = ["sign_out"]
    autocomplete_fields = []

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and self._above(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and self._above(request, obj)

    def has_press_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_press_permission(request, obj) and self._above(request, obj)

    def has_sign_out_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """An operator's sessions are the platform's, whatever place they have here."""
        if isinstance(obj, Member) and obj.user.is_superuser:
            return False
        return self.has_press_permission(request, obj)

    def _above(self, request: HttpRequest, obj: Any) -> bool:
        """Nobody touches those who are more than they could make anybody."""
        return not isinstance(obj, Member) or roles.may_grant(here(request).role, obj.role)

    def get_actions(self, request: HttpRequest) -> Any:
        """One by one: each may be the last owner."""
        return {}

    @display(description=_("E-mail"))
    def email(self, member: Member) -> str:
        return member.user.email or "—"

    def save_model(self, request: HttpRequest, obj: Member, form: forms.ModelForm[Member], change: bool) -> None:
        """Raises ValidationError, of which `changeform_view` tells: nothing is saved then."""
        role = here(request).role
        if "role" in form.changed_data:
            membership.change_role(member=obj, role=form.cleaned_data["role"], by_role=role)
        if "is_active" in form.changed_data:
            membership.switch(member=obj, active=form.cleaned_data["is_active"], by_role=role)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        try:
            response: HttpResponse = super().delete_view(request, object_id, extra_context)
        except ValidationError as error:
            self.message_user(request, " ".join(error.messages), "error")
            return HttpResponseRedirect(self.link("change", object_id))
        return response

    def delete_model(self, request: HttpRequest, obj: Member) -> None:
        membership.remove(member=obj, by_role=here(request).role)

    @action(
        description=_("Sign out everywhere"),
        icon="logout",
        permissions=["sign_out"],
        dialog={
            "title": _("End all of this person's sessions?"),
            "description": _("Every browser and every token of theirs is refused within two seconds."),
            "form_submit_text": _("Sign out"),
        },
    )
    def sign_out(self, request: HttpRequest, form: BaseDialogForm, object_id: int) -> HttpResponse:
        member = self.pressed(request, object_id)
        if not self.has_sign_out_permission(request, member):
            raise PermissionDenied
        web_sessions.sign_out_everywhere(user=member.user)
        self.message_user(request, _("Signed out everywhere."))
        return HttpResponse(headers={"HX-Redirect": self.link("change", object_id)})


class InvitationForm(ConsoleForm):
    blamed = "email"

    class Meta:
        model = Invitation
        fields = ["email", "role"]
        help_texts = {
            "role": _(
                "Owners and admins run the tenant; developers set up keys, models, rules, plugins and the chat; "
                "auditors read everything and export it; members chat."
            )
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "role" in self.fields:
            self.fields["role"].choices = offered(self.place.role)  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """Asked here, so that what is refused (too many, no mail) stands at its field."""
        data: dict[str, Any] = super().clean() or {}
        if not self.errors:
            place = self.place  # type: ignore[attr-defined]
            try:
                self.invited = invitations.invite(
                    tenant=place.tenant, email=data["email"], role=data["role"], by=place.member, by_role=place.role
                )
            except ValidationError as error:
                found = error.message_dict if hasattr(error, "error_dict") else {"email": error.messages}
                for field, messages in found.items():
                    self.add_error(field if field in self.fields else "email", messages)
        return data

    def _post_clean(self) -> None:
        """The row is the service's, made and checked by it."""


class ByState(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("open", _("open")), ("accepted", _("accepted")), ("over", _("over")), ("withdrawn", _("withdrawn"))]

    def queryset(self, request: HttpRequest, rows: models.QuerySet[Any]) -> models.QuerySet[Any]:
        waiting, now = models.Q(accepted_at=None, withdrawn_at=None), timezone.now()
        wanted = {
            "open": waiting & models.Q(expires_at__gt=now),
            "over": waiting & models.Q(expires_at__lte=now),
            "accepted": models.Q(accepted_at__isnull=False),
            "withdrawn": models.Q(withdrawn_at__isnull=False),
        }
        return rows.filter(wanted[self.value() or ""]) if self.value() in wanted else rows


class Invitations(TenantAdmin):
    area = "members"
    form = InvitationForm
    list_display = ["email", "role", "state", "created_at", "expires_at"]
    list_filter = [ByState, "role"]
    search_fields = ["email"]
    actions_detail = ["resend", "withdraw"]
    warn_unsaved_form = True

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        if obj is None:
            return ["email", "role"]
        return ["email", "role", "standing", "invited_by", "created_at", "expires_at", "accepted_at", "withdrawn_at"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_press_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody takes back, or renews, what they could not have written."""
        if not super().has_press_permission(request, obj):
            return False
        return not isinstance(obj, Invitation) or roles.may_grant(here(request).role, obj.role)

    @display(description=_("State"), label=COLOURS)
    def state(self, row: Invitation) -> tuple[str, Any]:
        if row.accepted_at is not None:
            return "accepted", _("accepted")
        if row.withdrawn_at is not None:
            return "withdrawn", _("withdrawn")
        return ("over", _("over")) if row.expires_at <= timezone.now() else ("open", _("open"))

    @display(description=_("State"))
    def standing(self, row: Invitation) -> Any:
        return self.state(row)[1]

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Any:
        return form.invited

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """It is saved already."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """There is nothing below it."""

    @action(
        description=_("Send again"),
        icon="forward_to_inbox",
        permissions=["press"],
        dialog={
            "title": _("Send another mail?"),
            "description": _("With another link; the one before it is not good any more."),
            "form_submit_text": _("Send again"),
        },
    )
    def resend(self, request: HttpRequest, form: BaseDialogForm, object_id: int) -> HttpResponse:
        return self._done(request, object_id, invitations.resend, _("Sent again."))

    @action(
        description=_("Withdraw"),
        icon="block",
        permissions=["press"],
        dialog={
            "title": _("Withdraw this invitation?"),
            "description": _("Its link is refused from now on."),
            "form_submit_text": _("Withdraw"),
        },
    )
    def withdraw(self, request: HttpRequest, form: BaseDialogForm, object_id: int) -> HttpResponse:
        return self._done(request, object_id, invitations.withdraw, _("Withdrawn."))

    def _done(self, request: HttpRequest, object_id: int, service: Any, said: Any) -> HttpResponse:
        row = self.pressed(request, object_id)
        try:
            service(invitation=row)
        except ValidationError as error:
            self.message_user(request, " ".join(error.messages), "error")
        else:
            self.message_user(request, said)
        return HttpResponse(headers={"HX-Redirect": self.link("change", object_id)})
