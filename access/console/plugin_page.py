"""One plugin of a tenant: what it is, its settings in a form made of their types, how it fares at every worker, and
what it would do to recorded turns. The same page in both consoles."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldBooleanSwitchWidget

from access.console.plugin_list import AREA, PluginPlace, end_of
from access.console.plugin_states import states_table
from access.console.plugin_trial import TrialForm, tried
from access.console.setting_forms import SettingsForm
from access.console.texts import with_code
from engine.types import Json
from plugins import registry
from plugins.describing import Traits, traits_of
from plugins.models import PluginActivation

JOURNAL: Final = "journal"  # a dry run shows what it holds
TRY: Final = "try"
HOOKS: Final = {
    "pre_process": gettext_lazy("before the model"),
    "process_delta": gettext_lazy("over pieces of the answer"),
    "post_process": gettext_lazy("over the whole answer"),
}


class UseForm(forms.Form):
    """How the plugin is used, whatever its settings."""

    enabled = forms.BooleanField(label=gettext_lazy("In use"), required=False, widget=UnfoldBooleanSwitchWidget)
    required = forms.BooleanField(
        label=gettext_lazy("Required"),
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text=gettext_lazy("A turn in which the plugin cannot do its work fails, instead of going on without it."),
    )
    timeout = forms.FloatField(
        label=gettext_lazy("Seconds of a hook"),
        required=False,
        min_value=0.01,
        max_value=60,
        widget=UnfoldAdminDecimalFieldWidget,
    )

    def __init__(self, row: PluginActivation | None, traits: Traits, data: Any = None) -> None:
        kept = {name: getattr(row, name) for name in ("enabled", "required", "timeout")} if row is not None else {}
        super().__init__(data, initial=kept)
        self.fields["timeout"].help_text = _("What each may take before it is skipped. Empty: %(seconds)s.") % {
            "seconds": f"{traits.timeout:g}"
        }


def plugin_view(request: HttpRequest, here: PluginPlace, name: str) -> Json | HttpResponseRedirect:
    """What the template `console/plugin.html` shows. Sent the form, it saves, or tries it without saving (`do` is
    `try`). Raises Http404, PermissionDenied."""
    traits = traits_of(name)
    if traits is None:
        raise Http404(_("There is no such plugin."))
    row = PluginActivation.objects.for_tenant(here.tenant.pk).filter(plugin=name).first()
    data = request.POST if request.method == "POST" else None
    use = UseForm(row, traits, data)
    form = SettingsForm(registry.get(name), row.settings if row is not None else {}, data)
    may_try = here.reach.may(AREA, "change") and here.reach.may(JOURNAL)
    trying = data is not None and data.get("do") == TRY
    trial = TrialForm(data if trying else None, traits=traits)
    report: Any = None
    if data is not None:
        here.reach.demand(AREA)
        if trying and not may_try:
            raise PermissionDenied
        valid = [form.is_valid(), use.is_valid()]
        if trying and all([*valid, trial.is_valid()]):
            report = tried(here, name, form, use, trial)
        elif not trying and all(valid) and _saved(here, name, form, use):
            messages.success(request, _("Saved: the next turn goes by it."))
            report = HttpResponseRedirect(here.address("plugins"))
        if isinstance(report, HttpResponseRedirect):
            return report
    return {
        "title": _(registry.get(name).label or name),
        "whose": here.tenant if here.reach.tenant is None else None,
        "about": [with_code(_(each)) for each in traits.about.split("\n\n") if each],
        "facts": _facts(name, traits),
        "use": use,
        "form": form,
        "lists": list(form.rows.values()),
        "may_change": here.reach.may(AREA, "change"),
        "may_try": may_try,
        "trial": trial,
        "report": report,
        "states": states_table(request, here.tenant.pk, name) if row is not None and data is None else None,
        "all": here.address("plugins"),
    }


def _saved(here: PluginPlace, name: str, form: SettingsForm, use: UseForm) -> bool:
    row = PluginActivation.objects.for_tenant(here.tenant.pk).filter(plugin=name).first()
    row = row or PluginActivation(tenant=here.tenant, plugin=name, position=end_of(here.tenant))
    row.settings = form.given()
    for field, value in use.cleaned_data.items():
        setattr(row, field, value)
    try:
        row.full_clean()
        row.save()
    except ValidationError as error:
        form.form.add_error(None, error.messages)  # somebody else was quicker
        return False
    return True


def _facts(name: str, traits: Traits) -> list[tuple[Any, Any]]:
    found = next((each for each in registry.extensions() if each.name == name and not each.error), None)
    package = f"{found.package} {found.version}" if found is not None and found.package else _("comes with Clawdbot")
    whole = _("yes: streams come in one piece while it is in use") if traits.needs_full_response else _("no")
    return [
        (_("Name"), name),
        (_("Package"), package),
        (_("Hooks"), ", ".join(f"{hook} ({HOOKS[hook]})" for hook in traits.hooks) or "—"),
        (_("Needs the whole answer"), whole),
    ]
