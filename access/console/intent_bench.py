"""How well a tenant's intents were learnt, and what they make of a text."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.utils.formats import localize
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminTextareaWidget

from access.console.tenant_field import TenantField
from access.management.intents import state
from plugins.intents import live, services
from plugins.intents.live import TenantIntents
from plugins.models import TrainedIntents
from tenants.models import Tenant

LONGEST_TEXT: Final = 4_000
STATES: Final = {
    "none": gettext_lazy("There is nothing to learn yet: define an intent with some examples."),
    "training": gettext_lazy("The intents are being learnt; what was learnt before goes on meanwhile."),
    "ready": gettext_lazy("Learnt and in use."),
    "failed": gettext_lazy("The training failed; what was learnt before goes on."),
}


class BenchForm(forms.Form):
    tenant = TenantField(help_text=gettext_lazy("Whose intents: slug of a tenant."))
    text = forms.CharField(
        label=gettext_lazy("Text"),
        max_length=LONGEST_TEXT,
        strip=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )

    def __init__(self, *args: Any, only: Tenant | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if only is not None:
            del self.fields["tenant"]


def bench_view(request: HttpRequest, only: Tenant | None = None, *, may_press: bool) -> dict[str, Any]:
    """What the page shows; `done` says what was done instead. `only`: the one tenant whose intents are tried here."""
    if request.method == "POST" and request.POST.get("do") == "learn" and only is not None:
        if not may_press:
            raise PermissionDenied
        services.learn_again(only.pk)
        return {"done": _("The intents are being learnt again.")}
    form = BenchForm(request.POST if request.method == "POST" else None, only=only)
    shown: dict[str, Any] = {"form": form, "may_learn": may_press and only is not None}
    tenant = only
    if form.is_valid():
        tenant = only or form.cleaned_data["tenant"]
        shown |= _tried(tenant, form.cleaned_data["text"])
    if tenant is not None:
        shown |= _training(services.trained_of(tenant.pk))
    return shown


def _tried(tenant: Tenant, text: str) -> dict[str, Any]:
    own = _live(tenant.pk)
    found = own.classify(text) if own is not None else None
    if found is None:
        return {"told": _("Nothing has been learnt yet.")}
    told = _("Taken for: %(intent)s") % {"intent": found.intent} if found.intent else _("None of the intents.")
    rows = [[each.intent, localize(each.score)] for each in found.candidates]
    return {"told": told, "candidates": {"headers": [_("Intent"), _("Score")], "rows": rows}}


def _live(tenant_id: int) -> TenantIntents | None:
    """This worker's; where none serves beside the console, what one would have."""
    table = live.LIVE.value if live.LIVE.value.tenants else live.compile_intents()
    return table.tenants.get(tenant_id)


def _training(row: TrainedIntents) -> dict[str, Any]:
    report = row.report
    shown: dict[str, Any] = {"state": STATES[state(row)], "trained_at": row.trained_at}
    if not report:
        return shown
    shown["figures"] = [
        (_("Intents"), localize(report["intents"])),
        (_("Examples"), localize(report["utterances"])),
        (_("Examples of none of these"), localize(report["outside"])),
        (_("Rightly recognised"), _share(report["accuracy"])),
        (_("Rightly none of these"), _share(report["rejected"])),
        (_("Threshold"), localize(report["threshold"])),
        (_("Seconds of training"), localize(report["seconds"])),
        (_("Word vectors"), row.vectors or _("not installed: meaning counts only by words in common")),
    ]
    shown["few"] = ", ".join(report["few"])
    rows = [
        [each["intent"], each["taken_for"] or _("none of these"), localize(each["times"]), each["text"]]
        for each in report["confusions"]
    ]
    if rows:
        headers = [_("Intent"), _("Taken for"), _("How often"), _("For example")]
        shown["confusions"] = {"headers": headers, "rows": rows}
    return shown


def _share(share: float | None) -> str:
    return "—" if share is None else f"{localize(round(100 * share, 1))} %"
