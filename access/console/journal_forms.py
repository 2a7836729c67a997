"""What the journal is asked for in the console, and the same as words of an address."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from access.console.reaching_form import ReachingForm
from access.console.recorded_turn import zone
from access.console.tenant_field import TenantField
from access.replaying import UNIX_SECONDS, seconds
from access.translating import choices as in_words
from compliance.journal.changes import ChangeFilters
from compliance.journal.listing import ANY, IN_FLIGHT, Filters
from compliance.journal.session_changes import SessionFilters
from compliance.models import AuditEntry
from engine.errors import InvalidRequest
from tenants.models import Tenant

WHEN = _("ISO 8601 (%(zone)s) or Unix seconds, such as 2026-01-31T08:00")
FIRST = ("tenant", "since", "until", "user", "state", "begins")
VERDICTS = [(ANY, _("any")), ("block", _("blocked")), ("mask", _("masked")), ("record", _("recorded"))]


def text(label: Any, *, longest: int = 300, **more: Any) -> forms.CharField:
    widget = UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"})
    return forms.CharField(label=label, required=False, max_length=longest, widget=widget, **more)


def choice(label: Any, choices: list[tuple[str, Any]]) -> forms.ChoiceField:
    return forms.ChoiceField(label=label, required=False, choices=[("", "—"), *choices], widget=UnfoldAdminSelectWidget)


class FromTo(ReachingForm):
    """A tenant and a time, and what else its heirs ask for. Empty fields ask for nothing."""

    tenant = TenantField(required=False)
    since = text(_("From"), longest=40)
    until = text(_("To"), longest=40)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["since"].help_text = WHEN % {"zone": zone()}

    def clean_since(self) -> float | None:
        return _seconds(self.cleaned_data["since"], "from")

    def clean_until(self) -> float | None:
        return _seconds(self.cleaned_data["until"], "to")

    @property
    def owner(self) -> Tenant | None:
        found: Tenant | None = self.only or self.cleaned_data["tenant"]
        return found

    def words(self) -> str:
        """The fields that say something, for a link to the same turns."""
        return urlencode([(name, self.data[name]) for name in self.fields if self.data.get(name)])

    def said(self) -> dict[str, Any]:
        return {
            name: value for name, value in self.cleaned_data.items() if value not in (None, "") and name != "tenant"
        }


class JournalForm(FromTo):
    apart: tuple[str, ...] = ()

    user = text(_("User"))
    key_id = forms.IntegerField(
        label=_("API key's id"), required=False, min_value=1, max_value=2**63 - 1, widget=UnfoldAdminIntegerFieldWidget
    )
    session_id = text(_("Session"))
    model = text(_("Model"))
    instance = text(_("Instance"))
    state = choice(_("State"), [*in_words(AuditEntry.State), (IN_FLIGHT, _("In flight"))])
    verdict = choice(_("Sensitive words"), VERDICTS)
    word_list = text(_("Word list"))
    edge = text(_("Edge"))
    begins = forms.RegexField(
        r"\A\s*[0-9a-fA-F]{1,32}\s*\Z",
        label=_("Turn"),
        required=False,
        max_length=40,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text=_("Its id, or the beginning of it."),
        error_messages={"invalid": _("An id has up to 32 hexadecimal digits.")},
    )

    def clean_begins(self) -> str:
        return str(self.cleaned_data["begins"]).strip().lower()

    def filters(self) -> Filters:
        return Filters(**self.said())

    @property
    def first(self) -> list[forms.BoundField]:
        """What is always shown."""
        return [self[name] for name in FIRST if name in self.fields]

    @property
    def others(self) -> list[forms.BoundField]:
        return [field for field in self if field.name not in (*FIRST, *self.apart)]

    @property
    def opened(self) -> bool:
        """Whether the others say something already."""
        return any(field.data or field.errors for field in self.others)


class ChangesForm(FromTo):
    actor = text(_("By whom"), help_text=_("Such as operator:1, member:3, key:7 or command:loadwords."))
    model = text(_("Kind of row"), help_text=_("Such as routing.routingrule."))
    row = text(_("Its id"))
    action = text(_("What was done"), help_text=_("Such as created, changed, deleted or signed_in."))

    def filters(self) -> ChangeFilters:
        return ChangeFilters(**self.said())


class SessionChangesForm(FromTo):
    session_id = text(_("Session"))
    user = text(_("Whose"), help_text=_("As it was recorded: a member's id, or such as key:7:ann."))
    action = text(_("What was done"), help_text=_("Such as patched, deleted, expired, restored or branched."))

    def filters(self) -> SessionFilters:
        return SessionFilters(**self.said())


def _seconds(value: str, field: str) -> float | None:
    if not value:
        return None
    try:
        return seconds(_zoned(value), field)
    except InvalidRequest as error:
        reason = error.message.partition(": ")[2]
        raise forms.ValidationError(reason[:1].upper() + reason[1:]) from None


def _zoned(value: str) -> str:
    """A time that names no zone is one of the console's."""
    here = timezone.get_current_timezone()
    try:
        read = None if UNIX_SECONDS.fullmatch(value.strip()) else datetime.fromisoformat(value.strip())
    except ValueError:
        return value
    return read.replace(tzinfo=here).isoformat() if read is not None and read.tzinfo is None else value
