"""Screens of compliance: word lists, which people write, and the journal, which nobody can."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from django.db import models
from django.http import HttpRequest
from django.utils.dateformat import format as date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.paginator import InfinitePaginator

from access.console.scoped import PlatformAdmin, ReadOnlyAdmin
from compliance.models import AuditEntry


def lists(request: HttpRequest) -> bool:
    """Whether this is a list page, which must not load what only the page of one row shows."""
    return request.resolver_match is not None and str(request.resolver_match.url_name).endswith("_changelist")


class WordListAdmin(PlatformAdmin):
    list_display = ["name", "tenant", "action", "direction", "enabled", "size", "version", "updated_at"]
    list_filter = ["action", "direction", "enabled", "tenant"]
    list_select_related = ["tenant"]
    search_fields = ["name", "tenant__slug"]
    autocomplete_fields = ["tenant"]
    readonly_fields = ["size", "version", "updated_at"]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        rows = super().get_queryset(request)
        return rows.defer("words") if lists(request) else rows


STATE_COLOURS = {
    "completed": "success",
    "refused": "warning",
    "cancelled": "info",
    "failed": "danger",
    "aborted": "danger",
}


class AuditEntryAdmin(ReadOnlyAdmin):
    """The journal, newest first."""

    list_display = ["when", "kind", "outcome", "tenant_id", "user", "model", "instance", "session_id", "turn_id"]
    list_filter = ["kind", "state"]
    search_fields = ["turn_id__startswith"]
    search_help_text = _("Turn id (its beginning is enough)")
    fields = [
        "turn_id",
        "kind",
        "state",
        "when",
        "tenant_id",
        "user",
        "key_id",
        "session_id",
        "model",
        "instance",
        "content",
    ]
    readonly_fields = fields
    paginator = InfinitePaginator  # counting ten million rows for a page number helps nobody
    show_full_result_count = False

    def get_ordering(self, request: HttpRequest) -> list[str]:
        return ["-turn_id", "id"]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        rows = super().get_queryset(request)
        return rows.defer("body") if lists(request) else rows

    @display(description=_("Time"))
    def when(self, entry: AuditEntry) -> str:
        return date_format(localtime(datetime.fromtimestamp(entry.at, UTC)), "Y-m-d H:i:s")

    @display(description=_("State"), label=STATE_COLOURS)
    def outcome(self, entry: AuditEntry) -> str:
        return entry.state

    @display(description=_("Entry"))
    def content(self, entry: AuditEntry) -> SafeString:
        text = json.dumps(json.loads(bytes(entry.body)), ensure_ascii=False, indent=2)
        return format_html("<pre style='white-space: pre-wrap; overflow-wrap: anywhere'>{}</pre>", text)
