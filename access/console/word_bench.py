"""What word lists would do with a text: those that apply to a tenant now, or words nobody saved yet."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from access.console.bridge import bridge_of
from access.console.links import link
from access.console.tenant_field import TenantField
from access.console.word_form import SwitchesField
from access.management.word_trials import WordTestBody, try_chosen, try_now
from access.translating import choices as in_words
from compliance.bench import LONGEST_TEXT, Place, Tried
from compliance.compiling import compile_guard
from compliance.guard import GuardTable
from compliance.models.words import Action, Direction
from compliance.validation import default_switches
from engine.errors import Unavailable
from engine.types import Json
from tenants.models import Tenant

WAYS = {"input": _("To the model"), "output": _("From the model")}
OUTCOMES = {
    ("pass", "input"): _("Passes unchanged."),
    ("pass", "output"): _("Passes unchanged."),
    ("record", "input"): _("Passes unchanged and is recorded."),
    ("record", "output"): _("Passes unchanged and is recorded."),
    ("mask", "input"): _("The model gets:"),
    ("mask", "output"): _("The client gets:"),
    ("block", "input"): _("The turn is refused: content_blocked."),
    ("block", "output"): _("The answer ends early, with content_filter. The client gets:"),
}


class BenchForm(forms.Form):
    tenant = TenantField(required=False, help_text=_("Whose lists: slug of a tenant. Empty: one that chose nothing."))
    direction = forms.ChoiceField(
        label=_("Direction"), choices=in_words(Direction), initial=Direction.BOTH, widget=UnfoldAdminSelectWidget
    )
    text = forms.CharField(
        label=_("Text"), max_length=LONGEST_TEXT, strip=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 6})
    )
    words = forms.CharField(
        label=_("Words instead of the lists"),
        required=False,
        strip=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text=_("One a line. Nothing is saved. Empty: the lists in use."),
    )
    action = forms.ChoiceField(
        label=_("Their stage"), choices=in_words(Action), initial=Action.BLOCK, widget=UnfoldAdminSelectWidget
    )
    switches = SwitchesField(initial=default_switches)

    def __init__(self, *args: Any, only: Tenant | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.only = only
        if only is not None:
            del self.fields["tenant"]


def bench_view(request: HttpRequest, only: Tenant | None = None) -> dict[str, Any]:
    """What the page shows: the form, and with it sent what became of the text. `only`: the one tenant whose lists are
    tried here."""
    form = BenchForm(request.POST if request.method == "POST" else None, only=only)
    if not form.is_valid():
        return {"form": form}
    try:
        return {"form": form, "tried": [_shown(request, each) for each in _tried(request, form)]}
    except ValidationError as error:
        form.add_error("words", error.messages)
        return {"form": form}


def _tried(request: HttpRequest, form: BenchForm) -> list[Tried]:
    data = form.cleaned_data
    tenant: Tenant | None = form.only or data.get("tenant")
    tenant_id = tenant.pk if tenant is not None else 0
    body = WordTestBody(text=data["text"], direction=data["direction"], action=data["action"])
    table = _table(request)
    if data["words"].strip():
        body.words, body.switches = data["words"].splitlines(), data["switches"]
        return try_chosen(tenant_id, body, table.default)
    return try_now(table.of(tenant_id), body)


def _table(request: HttpRequest) -> GuardTable:
    """This worker's; where none serves beside the console, what one would have."""
    try:
        return bridge_of(request).words.value
    except Unavailable:
        return compile_guard()


def _shown(request: HttpRequest, tried: Tried) -> Json:
    rows = [
        [f"{each.written} ({each.start} – {each.end})", each.word, _list(request, each), Action(each.action).label]
        for each in tried.places
    ]
    headers = [_("Found, and where"), _("Entry"), _("List"), _("Stage")]
    return {
        "way": WAYS[tried.direction],
        "outcome": tried.outcome,
        "told": OUTCOMES[tried.outcome, tried.direction],
        "text": tried.text if tried.outcome in ("mask", "block") else None,
        "table": {"headers": headers, "rows": rows} if rows else None,
    }


def _list(request: HttpRequest, place: Place) -> SafeString | str:
    if not place.list_id:
        return str(_("not saved"))
    address = link(request, "compliance_sensitivewordlist_change", place.list_id)
    name = f"{place.list} v{place.version}"
    if place.scope == "platform":
        name += f" ({_('Platform')})"
    return format_html('<a href="{}" class="text-primary-600 dark:text-primary-500">{}</a>', address, name)
