"""Screens of the time machine: replay recorded turns against edited rules, watch the job, read what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.files.storage import default_storage
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from access.console.explaining import explain_view
from access.console.models import RoutingRuleAdmin
from access.console.recorded_turn import moment
from access.console.replayed import present
from access.console.tenant_field import TenantField
from access.replay_requests import request_replay
from access.replaying import KIND, Period, period
from engine.errors import EngineError, InvalidRequest
from engine.types import Json, Principal
from routing import proposals
from routing.documents import ConfigurationError
from routing.models import RoutingRule
from routing.services import check_names
from tenants.models import Job, Tenant

REFRESH = 2  # seconds between two looks at a job
EARLIER = 5
HOUR = 3600
SPANS = [
    (HOUR, _("the last hour")),
    (24 * HOUR, _("the last day")),
    (7 * 24 * HOUR, _("the last 7 days")),
    (30 * 24 * HOUR, _("the last 30 days")),
    (90 * 24 * HOUR, _("the last 90 days")),
]


class ScopeForm(forms.Form):
    """Whose rules."""

    tenant = TenantField(
        required=False, help_text=_("Slug of the tenant whose own rules are edited; empty: the platform's.")
    )


class ReplayForm(forms.Form):
    span = forms.TypedChoiceField(
        label=_("Turns of"), choices=SPANS, coerce=int, initial=24 * HOUR, widget=UnfoldAdminSelectWidget
    )
    since = forms.CharField(label=_("or from"), required=False, max_length=40, widget=UnfoldAdminTextInputWidget)
    until = forms.CharField(
        label=_("to"),
        required=False,
        max_length=40,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("ISO 8601 (UTC) or Unix seconds, such as 2026-01-31T08:00. At most 90 days."),
    )
    rules = forms.CharField(
        label=_("Rules"),
        required=False,
        strip=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 22, "class": "replay-yaml", "spellcheck": "false"}),
        help_text=_("The form of loadconfig. Nothing is saved: these rules are only tried on recorded turns."),
    )

    def __init__(self, *args: Any, tenant: Tenant | None, usable: Collection[str] | None = None, **kwargs: Any) -> None:
        """`usable`: the names of models that these people may write, besides those of the rules as they are."""
        super().__init__(*args, **kwargs)
        self.tenant = tenant
        self.usable = usable
        self.during: Period | None = None

    def clean_rules(self) -> list[RoutingRule]:
        try:
            rules = proposals.from_yaml(self.cleaned_data["rules"], _id(self.tenant), environ={})
        except ConfigurationError as error:
            raise forms.ValidationError(
                _("Line %(line)s, column %(column)s: %(reason)s"),
                params={"line": error.line, "column": error.column, "reason": error.reason},
            ) from None
        if self.usable is not None:
            self._check_names(rules, self.usable)
        return rules

    def _check_names(self, rules: list[RoutingRule], usable: Collection[str]) -> None:
        kept = {name for row in proposals.rules_now(_id(self.tenant)) for name in (row.model, *row.fallbacks)}
        for rule in rules:
            try:
                check_names(rule, usable, kept)
            except ValidationError as error:
                raise forms.ValidationError(error.messages) from None

    def clean(self) -> Json | None:
        data = self.cleaned_data
        try:
            self.during = _during(data.get("span"), data.get("since"), data.get("until"))
        except InvalidRequest as error:
            self.add_error("until" if error.param == "to" else "since", error.message)
        return data


def _during(span: int | None, since: str | None, until: str | None) -> Period:
    if since or until or span is None:
        return period(since, until)
    now = period()
    return Period(now.until - span, now.until)


class RoutingScreens(RoutingRuleAdmin):
    """The rules, with a replay and an explanation above the list."""

    actions_list = ["replay", "explain"]

    def get_custom_urls(self) -> tuple[tuple[str, str, Callable[..., Any]], ...]:
        return (
            *super().get_custom_urls(),
            ("replay/<int:job_id>/", "routing_routingrule_replayed", type(self).replayed_view),
        )

    @action(description=_("Replay"), icon="history", url_path="replay", permissions=["view"])
    def replay(self, request: HttpRequest) -> HttpResponse:
        scope, tenant = self.scope(request)
        if request.method == "POST":
            if not self.has_press_permission(request):
                raise PermissionDenied
            form = ReplayForm(request.POST, tenant=tenant, usable=self.usable(request))
            if (scope is None or scope.is_valid()) and form.is_valid():
                job = _started(form, self.by(request))
                if job is not None:
                    return HttpResponseRedirect(self.link("replayed", job.pk))
        else:
            form = ReplayForm(initial={"rules": _offered(request, tenant)}, tenant=tenant)
        context = {"scope": scope, "form": form, "tenant": tenant, "earlier": self._earlier(tenant)}
        return self.framed(request, "replay.html", title=_("Replay rules"), **context)

    def scope(self, request: HttpRequest) -> tuple[ScopeForm | None, Tenant | None]:
        """Whose rules are edited, and the form that chose it."""
        form = ScopeForm(request.GET)
        return form, form.cleaned_data["tenant"] if form.is_valid() else None

    def usable(self, request: HttpRequest) -> Collection[str] | None:
        """The names of models that may be written; None: any, also of models that are still to come."""
        return None

    def replays(self, request: HttpRequest) -> models.QuerySet[Job]:
        """Those that may be read here."""
        return Job.objects.everywhere().filter(kind=KIND)

    @action(description=_("Explain"), icon="psychology_alt", url_path="explain", permissions=["view"])
    def explain(self, request: HttpRequest) -> HttpResponse:
        shown = explain_view(request, self.explaining(request))
        return self.framed(request, "explain.html", title=_("Explain a decision"), **shown)

    def explaining(self, request: HttpRequest) -> Principal | None:
        """Who asks, unless the form says it."""
        return None

    @staticmethod
    def replayed_view(request: HttpRequest, job_id: int, model_admin: RoutingScreens) -> HttpResponse:
        job = model_admin.replays(request).select_related("tenant").filter(pk=job_id).first()
        if job is None:
            model_admin.message_user(request, _("There is no such replay."), "warning")
            return HttpResponseRedirect(model_admin.link("replay"))
        result = _result(job)
        rules = proposals.to_yaml(_rules(job))
        told = partial(model_admin.turn_link, request)
        report = present(result, job.tenant, told) if result is not None else None
        context = {"job": job, "report": report, "rules": rules}
        page = model_admin.framed(request, "replayed.html", title=_("Replay %(id)s") % {"id": job.pk}, **context)
        if job.state in (Job.State.QUEUED, Job.State.RUNNING):
            page.headers["Refresh"] = str(REFRESH)
        return page

    def _earlier(self, tenant: Tenant | None) -> Json | None:
        """The last replays of the scope."""
        found = Job.objects.everywhere().filter(kind=KIND, tenant_id=_id(tenant)).order_by("-pk")[:EARLIER]
        rows = [
            [
                format_html(
                    '<a href="{}" class="text-primary-600 dark:text-primary-500">{}</a>',
                    self.link("replayed", job.pk),
                    moment(job.created_at.timestamp()),
                ),
                f"{job.get_state_display()}, {job.progress} %",
                f"{moment(job.arguments['from'])} – {moment(job.arguments['to'])}",
                job.created_by,
            ]
            for job in found
        ]
        return {"headers": [_("Earlier replays"), _("State"), _("Turns of"), _("By")], "rows": rows} if rows else None


def _started(form: ReplayForm, by: str) -> Job | None:
    assert form.during is not None
    try:
        return request_replay(
            rules=form.cleaned_data["rules"],
            tenant=form.tenant,
            during=form.during,
            created_by=by,
        )
    except EngineError as error:
        form.add_error(None, error.message)
        return None


def _offered(request: HttpRequest, tenant: Tenant | None) -> str:
    """The rules of a former replay of the scope that is named as `again`, else those that are saved."""
    number = request.GET.get("again", "")
    if number.isascii() and number.isdigit() and len(number) < 18:
        jobs = Job.objects.everywhere().filter(pk=int(number), kind=KIND, tenant_id=_id(tenant))
        if (job := jobs.first()) is not None:
            return proposals.to_yaml(_rules(job))
    return proposals.to_yaml(proposals.rules_now(_id(tenant)))


def _rules(job: Job) -> Sequence[RoutingRule]:
    return [RoutingRule(tenant_id=job.tenant_id, **fields) for fields in job.arguments["rules"]]


def _result(job: Job) -> Json | None:
    if job.state != Job.State.DONE:
        return None
    try:
        with default_storage.open(job.result_name) as stored:
            found: Json = json.load(stored)
    except (OSError, ValueError):
        return None
    return found


def _id(tenant: Tenant | None) -> int | None:
    return tenant.pk if tenant is not None else None
