"""Screen of the web chat: how each tenant's looks, whom it takes, whose pages may show it."""

from __future__ import annotations

from typing import Any

from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from access.console.lines import LinesField
from access.console.scoped import BY_TENANT, PlatformAdmin, PlatformForm
from tenants.models import ChatSite

COLOURS = {"off": "info", "signed": "warning", "anyone": "success"}


class ChatSiteForm(PlatformForm):
    blamed = "tenant"

    origins = LinesField(
        label=_("Pages"),
        help_text=_(
            "One a line, such as https://www.example.com: these may show the chat in a frame and call the API from a "
            "browser. http only for this very machine."
        ),
    )
    visitor_models = LinesField(
        label=_("Models"), rows=3, help_text=_("Public names, one a line, that visitors may choose; none: auto only.")
    )

    class Meta:
        model = ChatSite
        fields = [
            "tenant", "name", "greeting", "accent", "background", "origins", "visitors", "visitor_models",
            "ticket_minutes", "visitor_requests_per_minute", "address_requests_per_minute",
        ]  # fmt: skip
        labels = {
            "visitors": _("Takes"),
            "ticket_minutes": _("A ticket lasts"),
            "visitor_requests_per_minute": _("Requests of a visitor"),
            "address_requests_per_minute": _("Requests of an address"),
        }
        help_texts = {
            "visitors": _(
                "Who may chat without being a member. Signed in by the tenant: its own application asks for their "
                "tickets (POST /api/visitor-tickets). Taken back, running answers and sockets end within two seconds."
            ),
            "ticket_minutes": _("Minutes; the chat gets another one by itself."),
            "visitor_requests_per_minute": _("A minute. The tenant's own limits count too."),
            "address_requests_per_minute": _("A minute, of all visitors from one address, and tickets for it."),
        }
        widgets = {
            "greeting": UnfoldAdminTextareaWidget(attrs={"rows": 3}),
            "accent": UnfoldAdminTextInputWidget(attrs={"placeholder": "#2563eb", "autocomplete": "off"}),
            "background": UnfoldAdminTextInputWidget(attrs={"placeholder": "#ffffff", "autocomplete": "off"}),
        }


class ChatSiteAdmin(PlatformAdmin):
    form = ChatSiteForm
    list_display = ["owner", "title", "takes", "pages", "address"]
    list_filter = ["visitors", BY_TENANT]
    list_select_related = ["tenant"]
    search_fields = ["name", "tenant__slug", "tenant__name"]
    autocomplete_fields = ["tenant"]
    fieldsets = [
        (None, {"fields": ["tenant", "name", "greeting", "accent", "background", "origins"]}),
        (
            _("Visitors"),
            {
                "fields": [
                    "visitors",
                    "visitor_models",
                    "ticket_minutes",
                    "visitor_requests_per_minute",
                    "address_requests_per_minute",
                ]
            },
        ),
    ]

    @display(description=_("Name"), ordering="name")
    def title(self, site: ChatSite) -> str:
        return str(site)

    @display(description=_("Takes"), ordering="visitors", label=COLOURS)
    def takes(self, site: ChatSite) -> tuple[str, Any]:
        return site.visitors, site.get_visitors_display()

    @display(description=_("Pages"))
    def pages(self, site: ChatSite) -> str:
        return ", ".join(site.origins) or "—"

    @display(description=_("Address"))
    def address(self, site: ChatSite) -> Any:
        return format_html('<a href="/chat/?tenant={}">/chat/?tenant={}</a>', site.tenant.slug, site.tenant.slug)
