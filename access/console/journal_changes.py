"""The screen of changes of configuration: who did what to which row, and how it was before."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from access.console.journal_forms import ChangesForm, SessionChangesForm
from access.console.reach import Reach
from access.console.recorded_turn import moment
from compliance.journal import changes, reader
from compliance.models import ChangeRecord
from engine.entries import Change
from engine.errors import StoreUnavailable
from tenants.models import Tenant

HERE = "admin:compliance_auditentry_changes"
Owners = dict[int, Tenant] | None  # by their ids, for a column; None: there is but one
WHAT = {"created": _("created"), "changed": _("changed"), "deleted": _("deleted")}
LONGEST = 300  # characters of a value on the page


def changes_view(request: HttpRequest, model_admin: Any) -> HttpResponse:
    page: HttpResponse = model_admin.page(
        request,
        "changes.html",
        title=_("Changes of configuration"),
        here=HERE,
        **_listed(request, model_admin.scope(request)),
    )
    return page


def _listed(request: HttpRequest, reach: Reach) -> dict[str, Any]:
    form = ChangesForm(request.GET, only=reach.tenant)
    found = listed(request, form, changes, lambda change: str(change.turn_id), partial(_table, reach))
    if "table" not in found:
        return found
    waiting = ChangeRecord.objects.everywhere()
    mine = waiting if reach.tenant is None else waiting.filter(tenant_id=reach.tenant.pk)
    return {**found, "waiting": mine.count()}


def listed(
    request: HttpRequest,
    form: ChangesForm | SessionChangesForm,
    pages: Any,
    id_of: Callable[[Any], str],
    table: Callable[[list[Any]], dict[str, Any]],
) -> dict[str, Any]:
    """A page of changes and the ways to the next ones. `pages` has `page` and `page_after`, as
    `compliance.journal.changes`."""
    if not form.is_valid():
        return {"form": form, "words": form.words()}
    before, after = (cursor(request.GET.get(name)) for name in ("before", "after"))
    tenant_id, filters = form.owner.pk if form.owner is not None else None, form.filters()

    def read() -> Any:
        if after is not None:
            return pages.page_after(tenant_id, filters, after=after)
        return pages.page(tenant_id, filters, before=before)

    try:
        page = reader.readable(read)
    except StoreUnavailable as error:
        return {"form": form, "words": form.words(), "trouble": error.message}
    shown = page.changes
    if after is not None:
        ways = {"newer": page.next, "older": id_of(shown[-1]) if shown else f"{after}0"}
    else:
        ways = {"older": page.next, "newer": before and (id_of(shown[0]) if shown else before[:31])}
    return {"form": form, "words": form.words(), **ways, "table": table(shown)}


def cursor(given: str | None) -> str | None:
    return given if given and len(given) <= 40 and given.isascii() and given.isalnum() else None


def owners_of(reach: Reach, found: Iterable[Any]) -> Owners:
    """The tenants these are of; one query, in a tenant's console none."""
    return Tenant.objects.in_bulk({each.tenant_id for each in found}) if reach.tenant is None else None


def owner_cell(owners: Owners, tenant_id: int) -> list[Any]:
    if owners is None:
        return []
    return [owners.get(tenant_id) or (_("Platform") if tenant_id == 0 else tenant_id)]


def _table(reach: Reach, found: list[Change]) -> dict[str, Any]:
    owners = owners_of(reach, found)
    headers = [
        _("Time"), *([] if owners is None else [_("Tenant")]), _("By whom"), _("What"), _("Row"),
        _("Before and after"),
    ]  # fmt: skip
    return {"headers": headers, "rows": [_line(change, owners) for change in found]}


def _line(change: Change, owners: Owners) -> list[Any]:
    return [
        format_html('<span class="journal-time">{}</span>', moment(change.at)),
        *owner_cell(owners, change.tenant_id),
        f"{change.actor} ({change.actor_label})" if change.actor_label else change.actor,
        WHAT.get(change.action, change.action),
        format_html(
            '<span class="journal-cut" title="{0}">{0}</span><span class="journal-small">{1} {2}</span>',
            change.label or "—",
            change.model,
            change.row,
        ),
        _values(change),
    ]


def _values(change: Change) -> SafeString | Any:
    if change.erased:
        return _("It cannot be read any more.")
    names = list(dict.fromkeys([*change.before, *change.after]))
    if not names:
        return "—"
    lines = [(name, short(change.before, name), short(change.after, name)) for name in names]
    rows = format_html_join("", "<dt>{}</dt><dd><del>{}</del> <ins>{}</ins></dd>", lines)
    return format_html(
        '<details class="journal-values"><summary>{}</summary><dl>{}</dl></details>', ", ".join(names), rows
    )


def short(values: dict[str, Any], name: str) -> str:
    if name not in values:
        return ""
    value = values[name]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
