"""A plugin tried on recorded turns from its page: which turns, the report or the job, and what either says."""

from __future__ import annotations

import json
from typing import Any, Final

from django import forms
from django.core.files.storage import default_storage
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from access import dry_running
from access.console.plugin_list import PluginPlace
from access.console.recorded_turn import duration, moment
from access.console.setting_forms import SettingsForm
from access.dry_run_requests import request_dry_run, run_now
from access.dry_running import DryRunReport, Wanted
from access.frames import TURN_ID
from access.replaying import seconds
from engine.errors import EngineError, InvalidRequest
from engine.types import Json
from plugins.describing import Traits
from tenants.models import Job

SHOWN: Final = 50  # turns on the page; the job's result has all
LAST: Final = 20
LEFT_OUT: Final = {
    "erased": gettext_lazy("erased"),
    "unreadable": gettext_lazy("unreadable"),
    "no_plugins": gettext_lazy("without plugins: embeddings and rounds of other turns"),
}
OUTCOMES: Final = {
    "ok": gettext_lazy("ok"),
    "none": gettext_lazy("has no such hook"),
    "failed": gettext_lazy("failed"),
    "slow": gettext_lazy("too slow"),
    "stuck": gettext_lazy("not called: earlier hooks did not end"),
    "not_reached": gettext_lazy("not reached"),
}


class TrialForm(forms.Form):
    last = forms.IntegerField(
        label=gettext_lazy("Newest turns"),
        initial=LAST,
        min_value=1,
        max_value=dry_running.MOST,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=gettext_lazy("Of more than 50 the report is made in the background."),
    )
    since = forms.CharField(
        label=gettext_lazy("that began from"), required=False, max_length=40, widget=UnfoldAdminTextInputWidget
    )
    until = forms.CharField(
        label=gettext_lazy("to"),
        required=False,
        max_length=40,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("ISO 8601 (UTC) or Unix seconds, such as 2026-01-31T08:00. Empty: whenever."),
    )
    turn = forms.CharField(
        label=gettext_lazy("or this one turn"),
        required=False,
        max_length=32,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("A turn's id."),
    )
    effects = forms.BooleanField(
        label=gettext_lazy("Run hooks that may have effects"),
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text=gettext_lazy(
            "This plugin does not say that a dry run has no effect outside of its turns: it might write or send "
            "something."
        ),
    )

    def __init__(self, data: Any = None, *, traits: Traits) -> None:
        super().__init__(data, prefix="try")
        if traits.rehearses:
            del self.fields["effects"]

    def clean_turn(self) -> str:
        turn: str = self.cleaned_data["turn"].strip()
        if turn and not TURN_ID.match(turn):
            raise forms.ValidationError(_("This is no turn's id."))
        return turn

    def clean(self) -> Json | None:
        data = self.cleaned_data
        for name, param in (("since", "from"), ("until", "to")):
            try:
                data[name] = seconds(data[name], param) if data.get(name) else None
            except InvalidRequest as error:
                self.add_error(name, error.message)
        since, until = data.get("since"), data.get("until")
        if isinstance(since, float) and isinstance(until, float) and since >= until:
            self.add_error("until", _("This is not after its beginning."))
        return data

    def wanted(self, plugin: str, settings: Json, timeout: float | None) -> Wanted:
        data = self.cleaned_data
        return Wanted(
            plugin=plugin,
            settings=settings,
            last=data["last"],
            since=data["since"],
            until=data["until"],
            turn_id=data["turn"] or None,
            timeout=timeout,
        )


def tried(
    here: PluginPlace, name: str, form: SettingsForm, use: forms.Form, trial: TrialForm
) -> Json | HttpResponseRedirect | None:
    """The report as the page shows it, or the way to the job's page. None: `trial` now says what is wrong."""
    wanted = trial.wanted(name, form.given(), use.cleaned_data["timeout"])
    effects = trial.cleaned_data.get("effects", False)
    try:
        if wanted.turn_id is None and wanted.last > dry_running.AT_ONCE:
            job = request_dry_run(wanted=wanted, tenant=here.tenant, effects=effects, created_by=here.reach.actor)
            return HttpResponseRedirect(here.address("plugin_dry_run", job.pk))
        return shown(here, run_now(wanted=wanted, tenant=here.tenant, effects=effects))
    except EngineError as error:
        param = getattr(error, "param", None)
        trial.add_error(param if param in trial.fields else None, error.message)
        return None


def job_view(request: HttpRequest, here: PluginPlace, job_id: int) -> Json:
    """What the template `console/plugin_tried.html` shows. Raises Http404."""
    job = Job.objects.for_tenant(here.tenant.pk).filter(pk=job_id, kind=dry_running.KIND).first()
    if job is None:
        raise Http404(_("There is no such dry run."))
    name = str(job.arguments.get("plugin", ""))
    report = _stored(job)
    return {
        "title": _("Dry run of %(plugin)s") % {"plugin": name},
        "job": job,
        "report": shown(here, report) if report is not None else None,
        "back": here.address("plugin", name),
    }


def shown(here: PluginPlace, report: DryRunReport) -> Json:
    """For people."""
    told = [turn for turn in report.turns if turn.changes or _trouble(turn)]
    figures = [
        (_("Turns tried"), report.read),
        (_("Would be changed"), report.changed),
        (_("Would be answered by the plugin"), report.answered),
        (_("Would have a further round"), report.asked),
        (_("Slowest hook"), duration(report.seconds)),
        *((_("Hooks: %(outcome)s") % {"outcome": OUTCOMES[name]}, count) for name, count in report.trouble.items()),
        *((_("Not tried: %(why)s") % {"why": LEFT_OUT[name]}, count) for name, count in report.left_out.items()),
    ]
    return {
        "figures": figures,
        "complete": report.complete,
        "turns": [_turn(here, turn) for turn in told[:SHOWN]],
        "more": max(len(told) - SHOWN, 0),
    }


def _trouble(turn: Any) -> bool:
    return any(hook.outcome in ("failed", "slow", "stuck") for hook in (turn.pre, turn.post))


def _turn(here: PluginPlace, turn: Any) -> Json:
    pre, post = turn.pre, turn.post
    parts = [
        (_("Messages"), _messages(pre.were), _messages(pre.messages)) if pre.messages is not None else None,
        (_("Features"), "", _json(pre.features)) if pre.features else None,
        (_("Answer in the model's place"), "", _messages([pre.answer])) if pre.answer is not None else None,
        (_("Answer"), _choices(post.were), _choices(post.choices)) if post.choices is not None else None,
        (_("Further round asked for"), "", _messages(post.asked.messages)) if post.asked is not None else None,
        (_("Handed to the client"), "", _json(turn.metadata)) if turn.metadata else None,
    ]
    hooks = [(_("before the model"), pre), (_("after the model"), post)]
    return {
        "at": moment(turn.at),
        "address": here.reach.address("compliance_auditentry_change", turn.turn_id),
        "hooks": [
            f"{name}: {OUTCOMES[hook.outcome]}, {duration(hook.seconds)}" for name, hook in hooks
            if hook.outcome != "none"
        ],
        "errors": [hook.error for _name, hook in hooks if hook.error],
        "parts": [part for part in parts if part is not None],
    }  # fmt: skip


def _messages(messages: Any) -> str:
    return "\n".join(f"{message.role}: {_text(message)}" for message in messages or [])


def _choices(choices: Any) -> str:
    return "\n".join(_text(choice.message) for choice in choices or [])


def _text(message: Any) -> str:
    said = message.content if isinstance(message.content, str) else _json(message.content) if message.content else ""
    calls = f" {_json(message.tool_calls)}" if message.tool_calls else ""
    return f"{said}{calls}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _stored(job: Job) -> DryRunReport | None:
    if job.state != Job.State.DONE or not job.result_name:
        return None
    try:
        with default_storage.open(job.result_name) as stored:
            return dry_running.read(stored.read())
    except (OSError, ValueError):
        return None
