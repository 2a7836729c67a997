"""The screen of sessions: those of a tenant that were active last, archived or not, and the way to one by its id."""

from __future__ import annotations

import re
from collections.abc import Coroutine, Iterable
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

from django import forms
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextInputWidget

from access.console.bridge import EngineBridge, SessionParts, bridge_of
from access.console.journal_forms import text
from access.console.reach import Reach
from access.console.reaching_form import ReachingForm
from access.console.recorded_turn import moment
from compliance.journal import listing, reader
from compliance.journal.listing import Filters
from compliance.sealing.vault import SubjectVault
from engine.errors import EngineError, StoreUnavailable, Unavailable
from engine.types import Principal
from sessions_app.browsing import Active, ArchiveBrowser, together
from tenants.models import Tenant

TIMEOUT: Final = 70.0  # seconds: a restore waits for the turn that runs

KEY: Final = re.compile(r"key:(\d{1,18})(?::|\Z)")

T = TypeVar("T")


class FindForm(ReachingForm):
    session = forms.RegexField(
        r"\A[A-Za-z0-9._-]{1,128}\Z",
        label=_("Session"),
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text=_("Its id. Empty: the last active ones."),
        error_messages={"invalid": _("No session has such an id.")},
    )
    user = text(_("User"), help_text=_("As the journal calls them: 12 (a member), key:7, key:7:alice."))


def sessions_view(request: HttpRequest, reach: Reach) -> dict[str, Any]:
    """For the template `console/sessions.html`."""
    form = FindForm(request.GET if request.GET or reach.tenant is not None else None, only=reach.tenant)
    if not form.is_valid():
        return {"form": form}
    data = form.cleaned_data
    tenant: Tenant = data["tenant"]
    try:
        if data["session"]:
            return {
                "form": form,
                "table": _table(reach, tenant, _of_id(request, tenant, data["session"], data["user"])),
            }
        bridge, parts = sessions_of(request)
        user = data["user"] or None
        live = asked(bridge, parts.browser.recent(tenant.pk, user))
        try:
            archived = ArchiveBrowser(SubjectVault()).recent(tenant.pk, user)
        except StoreUnavailable:
            return {
                "form": form,
                "table": _table(reach, tenant, live),
                "trouble": _("The archived ones cannot be read now."),
            }
        return {"form": form, "table": _table(reach, tenant, together(live, archived))}
    except EngineError as error:
        return {"form": form, "trouble": f"{error.message} ({error.code})"}


def sessions_of(request: HttpRequest) -> tuple[EngineBridge, SessionParts]:
    """Raises Unavailable."""
    bridge = bridge_of(request)
    if bridge.sessions is None:
        raise Unavailable("No engine runs in this process.")
    return bridge, bridge.sessions


def asked(bridge: EngineBridge, work: Coroutine[Any, Any, T]) -> T:
    """What it answers, at the latest in `TIMEOUT`. Raises EngineError."""
    try:
        return bridge.run(work, TIMEOUT)
    except TimeoutError:
        raise Unavailable from None


def acting_for(reach: Reach, tenant: Tenant, user: str) -> Principal:
    """Whoever looks, at a user's sessions: the journal says who did it. What is begun for a user of an API key is the
    key's, too."""
    key = KEY.match(user)
    return Principal(
        tenant_id=tenant.pk,
        tenant=tenant.slug,
        kind="system",
        subject=reach.actor,
        user=user,
        role=reach.place.role if reach.place is not None else "operator",
        key_id=int(key[1]) if key else None,
    )


def address(reach: Reach, tenant: Tenant, user: str, session_id: str, **more: Any) -> str:
    """Of a session's page."""
    return f"{reach.address('session')}?{urlencode({**named(reach, tenant, user, session_id), **more})}"


def named(reach: Reach, tenant: Tenant, user: str, session_id: str) -> dict[str, str]:
    """The words of an address that name a session; of its tenant only where there are several."""
    words = {"user": user, "session": session_id}
    return words if reach.tenant is not None else {"tenant": tenant.slug, **words}


def _of_id(request: HttpRequest, tenant: Tenant, session_id: str, user: str) -> list[Active]:
    """A session of another user may have the same id."""
    users = [user] if user else _users(request, tenant, session_id)
    return [Active(each, session_id, 0) for each in users]


def _users(request: HttpRequest, tenant: Tenant, session_id: str) -> list[str]:
    """Who talked in it, by the journal; a session nobody talked in yet is in the store or archived."""
    page = reader.readable(lambda: listing.page(tenant.pk, Filters(session_id=session_id)))
    found = {turn.user for turn in page.turns if turn.user}
    bridge, parts = sessions_of(request)
    found.update(asked(bridge, parts.browser.users(tenant.pk, session_id)))
    return sorted(found.union(ArchiveBrowser(SubjectVault()).users(tenant.pk, session_id)))


def _table(reach: Reach, tenant: Tenant, found: Iterable[Active]) -> dict[str, Any]:
    rows = [
        [
            _link(reach, tenant, each),
            format_html('<span class="journal-cut" title="{0}">{0}</span>', each.user),
            format_html('<span class="journal-time">{}</span>', moment(each.last_active)) if each.last_active else "—",
            (_("archived") if each.archived else _("live")) if each.last_active else "—",
        ]
        for each in found
    ]
    return {"headers": [_("Session"), _("User"), _("Last active"), _("State")], "rows": rows}


def _link(reach: Reach, tenant: Tenant, each: Active) -> SafeString:
    return format_html(
        '<a href="{}" class="session-id text-primary-600 dark:text-primary-500">{}</a>',
        address(reach, tenant, each.user, each.session_id),
        each.session_id,
    )
