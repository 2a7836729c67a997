"""The screen of invitations, for operators to see who was asked to join which tenant, and to withdraw one."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from access.console.scoped import BY_TENANT, ReadOnlyAdmin
from tenants import invitations as service
from tenants.models import Invitation
from tenants.scoping import ScopedQuerySet

COLOURS = {"open": "warning", "accepted": "success", "withdrawn": "info", "expired": "info"}


class InvitationAdmin(ReadOnlyAdmin):
    """People of a tenant invite; the link's secret is in the mail alone and cannot be shown."""

    list_display = ["email", "owner", "role", "state", "invited_by", "created_at", "expires_at"]
    list_filter = ["role", BY_TENANT]
    list_select_related = ["tenant", "invited_by"]
    search_fields = ["email", "tenant__slug", "tenant__name"]
    fields = [
        "email",
        "owner",
        "role",
        "standing",
        "invited_by",
        "created_at",
        "expires_at",
        "accepted_at",
        "withdrawn_at",
    ]
    readonly_fields = fields
    actions = ["withdraw"]

    def has_withdraw_permission(self, request: HttpRequest) -> bool:
        return bool(self.has_view_permission(request))

    @display(description=_("State"), label=COLOURS)
    def state(self, invitation: Invitation) -> tuple[str, Any]:
        if invitation.accepted_at is not None:
            return "accepted", _("accepted")
        if invitation.withdrawn_at is not None:
            return "withdrawn", _("withdrawn")
        return ("expired", _("expired")) if invitation.expires_at <= timezone.now() else ("open", _("open"))

    @display(description=_("State"))
    def standing(self, invitation: Invitation) -> Any:
        """The same for the page of one, where there are no labels."""
        return self.state(invitation)[1]

    @admin.action(description=_("Withdraw the chosen invitations"), permissions=["withdraw"])
    def withdraw(self, request: HttpRequest, invitations: ScopedQuerySet[Invitation]) -> None:
        found = list(invitations.filter(accepted_at=None, withdrawn_at=None))
        for invitation in found:
            service.withdraw(invitation=invitation)
        self.message_user(request, _("Withdrawn: %(count)s.") % {"count": len(found)})
