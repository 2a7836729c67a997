"""The screen of the journal's signatures: up to where a tenant's tree is signed, with what key, and how to check it."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from access.console.reach import Reach
from access.console.reaching_form import ReachingForm
from access.console.recorded_turn import moment, moment_here
from access.console.tenant_field import TenantField
from compliance.changes import PLATFORM
from compliance.journal import reader
from compliance.journal.signing import platform_signer
from compliance.models import TreeHead
from compliance.tree import checkpoints
from compliance.tree.database import tree_database
from engine.errors import StoreUnavailable

SHOWN: Final = 20


class WhoseForm(ReachingForm):
    tenant = TenantField(required=False, help_text=_("Slug of the tenant; empty: the platform's own entries."))


def signing_view(request: HttpRequest, model_admin: Any) -> HttpResponse:
    reach: Reach = model_admin.scope(request)
    form = WhoseForm(request.GET, only=reach.tenant)
    context: dict[str, Any] = {"form": form}
    if form.is_valid():
        tenant = form.cleaned_data["tenant"]
        try:
            context |= reader.readable(lambda: _signed(tenant.pk if tenant is not None else PLATFORM))
        except StoreUnavailable as error:
            context["trouble"] = error.message
    page: HttpResponse = model_admin.page(request, "journal_signed.html", title=_("Signatures"), **context)
    return page


def _signed(tenant_id: int) -> dict[str, Any]:
    """Three queries, however long the journal is."""
    with tree_database() as alias:
        known = checkpoints.heads(tenant_id, alias, SHOWN)
        leaves = TreeHead.objects.using(alias).filter(tenant_id=tenant_id).values_list("size", flat=True).first() or 0
    newest = known[0] if known else None
    size = int(str(newest["checkpoint"])) if newest is not None else 0
    facts = [
        (_("Entries in the tree"), leaves),
        (_("Of them signed"), size),
        (
            _("Last signed"),
            moment_here(float(str(newest["at"]))) if newest is not None else _("Nothing is signed yet."),
        ),
        (_("Public key"), platform_signer().public_key()),
    ]
    rows = [
        [
            format_html('<span class="journal-time">{}</span>', moment(float(str(each["at"])))),
            each["checkpoint"],
            format_html('<code class="session-id">{}</code>', each["root"]),
            format_html(
                '<details class="journal-values"><summary>{}</summary><pre class="turn-json">{}</pre></details>',
                _("What was signed"),
                each["note"],
            ),
        ]
        for each in known
    ]
    headers = [_("Signed at"), _("Entries"), _("Root"), _("Note")]
    return {"facts": facts, "table": {"headers": headers, "rows": rows} if rows else None}
