"""Screens of routing: model instances and routing rules."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline
from unfold.decorators import display
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminSelectWidget, UnfoldBooleanSwitchWidget

from access.console import places
from access.console.dialogs import action
from access.console.lines import LinesField
from access.console.scoped import BY_TENANT, PlatformAdmin, PlatformForm, PlatformFormSet, everywhere
from access.console.trial import TrialForm, ask, operator
from adapters import registry
from adapters.base import AdapterConfig
from engine.types import Principal
from routing import services
from routing.models import ModelGrant, ModelInstance, RoutingRule
from routing.validation import check_adapter


class ModelInstanceForm(PlatformForm):
    adapter = forms.ChoiceField(
        choices=lambda: [(name, gettext(label)) for name, label in registry.labels().items()],
        initial="openai_compatible",
        widget=UnfoldAdminSelectWidget,
    )
    api_key = forms.CharField(
        label=_("Provider key"),
        required=False,
        strip=True,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text=_("Kept encrypted and never shown. Empty: the key it has."),
    )
    remove_api_key = forms.BooleanField(
        label=_("Remove the key"),
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text=_("Forget the key it has."),
    )
    languages = LinesField(rows=3, help_text=_("One a line, such as zh or en; none: any."))

    class Meta:
        model = ModelInstance
        fields = [
            "name", "label", "tenant", "sharing", "enabled", "task", "adapter", "endpoint", "upstream_model",
            "allow_private", "options", "weight", "max_concurrency", "context_window", "languages", "version",
            "price_in", "price_out", "timeout", "connect_timeout", "first_token_timeout", "idle_timeout",
            "total_timeout", "probe_interval", "batch_window", "batch_size",
        ]  # fmt: skip
        labels = {
            "allow_private": _("May be private"),
            "price_in": _("Price in"),
            "price_out": _("Price out"),
            "timeout": _("Timeout"),
            "connect_timeout": _("To connect"),
            "first_token_timeout": _("To the first token"),
            "idle_timeout": _("Between two tokens"),
            "total_timeout": _("For a whole answer"),
            "probe_interval": _("Probe every"),
            "batch_window": _("Wait to share a call"),
            "batch_size": _("Inputs in a call"),
        }
        help_texts = {
            "endpoint": _("Such as https://api.example.com/v1."),
            "sharing": _("Only for the platform's own instances; those of a tenant are its own."),
            "task": _("Requests for embeddings go only to instances for embeddings, all others to those for chat."),
            "version": _("What a session notes as its model version."),
            "timeout": _("Seconds; stands in for each limit below that is empty. Empty: MODEL_TIMEOUT."),
            "connect_timeout": _("Seconds until the connection stands. Empty: the timeout, at most 10."),
            "first_token_timeout": _(
                "Seconds until the answer begins; then another instance is tried. Empty: the timeout."
            ),
            "idle_timeout": _("Seconds of silence within a stream; then it ends with an error. Empty: the timeout."),
            "total_timeout": _("Seconds. Empty: the timeout without a stream, no limit with one."),
            "probe_interval": _(
                "Seconds between requests that cost no tokens and notice that it is away, or back, before a user "
                "does. Empty: no probes."
            ),
            "batch_window": _(
                "Seconds, at most 1: how long a request waits for others of its tenant. Counts where the adapter takes "
                "several inputs in one call, such as embeddings. 0: not at all."
            ),
            "batch_size": _("At most so many, 1 to 2048; a full call waits no longer. 1: every request has its own."),
        }

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if data.get("api_key"):
            self._check_key(data)
        elif self.instance.sealed_key and "tenant" in self.changed_data and not data.get("remove_api_key"):
            self.add_error("api_key", _("The key is sealed for the tenant the instance had: enter it again."))
        return data

    def _check_key(self, data: dict[str, Any]) -> None:
        if data.get("remove_api_key"):
            self.add_error("remove_api_key", _("Either enter a key or remove it."))
        elif "adapter" in data and "endpoint" in data:
            config = AdapterConfig(
                endpoint=data["endpoint"], api_key=data["api_key"], options=data.get("options") or {}
            )
            try:
                check_adapter(data["adapter"], config)
            except ValidationError as error:
                self.add_error("api_key", error.messages)

    def new_key(self) -> str | None:
        """For `services.save_instance`: a key, "" to forget the one it has, None to keep it."""
        if self.cleaned_data["remove_api_key"]:
            return ""
        return self.cleaned_data["api_key"] or None


class GrantInline(TabularInline):
    model = ModelGrant
    formset = PlatformFormSet
    extra = 0
    autocomplete_fields = ["tenant"]
    verbose_name = _("grant")
    verbose_name_plural = _("granted to (counts where sharing says so)")

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        return everywhere(ModelGrant).select_related("tenant", "instance").order_by("tenant__slug")


class ModelInstanceAdmin(PlatformAdmin):
    form = ModelInstanceForm
    by_tenant = False
    inlines = [GrantInline]
    list_display = ["name", "label", "owner", "standing", "adapter", "endpoint", "weight", "key"]
    list_filter = ["enabled", "adapter", BY_TENANT]
    list_select_related = ["tenant"]
    search_fields = ["name", "label", "endpoint", "upstream_model", "tenant__slug", "tenant__name"]
    autocomplete_fields = ["tenant"]
    actions_detail = ["test"]
    change_form_after_template = "console/places.html"
    fieldsets = [
        (None, {"fields": ["name", "label", "tenant", "sharing", "task", "enabled"]}),
        (_("Where it is"), {"fields": ["adapter", "endpoint", "upstream_model", "api_key", "remove_api_key",
                                        "allow_private", "options"]}),
        (_("How it is used"), {"fields": ["weight", "max_concurrency", "context_window", "languages", "version",
                                           "price_in", "price_out"]}),
        (_("Timeouts"), {"fields": ["timeout", "connect_timeout", "first_token_timeout", "idle_timeout",
                                     "total_timeout"]}),
        (_("Probes and batching"), {"fields": ["probe_interval", "batch_window", "batch_size"]}),
    ]  # fmt: skip

    @display(description=_("State"), ordering="enabled", label={"on": "success", "off": "danger"})
    def standing(self, instance: ModelInstance) -> tuple[str, Any]:
        return ("on", _("in use")) if instance.enabled else ("off", _("switched off"))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        shown = places.panel(request, int(object_id)) if object_id.isdecimal() else None
        page: HttpResponse = super().change_view(
            request, object_id, form_url, {**(extra_context or {}), "places": shown}
        )
        return page

    @display(description=_("Key"))
    def key(self, instance: ModelInstance) -> Any:
        return _("set") if instance.sealed_key else None

    def save_model(
        self, request: HttpRequest, obj: ModelInstance, form: forms.ModelForm[ModelInstance], change: bool
    ) -> None:
        assert isinstance(form, ModelInstanceForm)
        services.save_instance(instance=obj, api_key=form.new_key(), by_tenant=self.by_tenant)

    @action(
        description=_("Test"),
        icon="play_arrow",
        permissions=["press"],
        dialog={
            "title": _("Ask this instance"),
            "description": _("A real turn, through the engine and into the journal, like every other."),
            "form_class": TrialForm,
            "form_submit_text": _("Ask"),
        },
    )
    def test(self, request: HttpRequest, form: TrialForm, object_id: int) -> HttpResponse:
        instance = self.pressed(request, object_id)
        trial = ask(request, instance, self.asking(request, instance), form.cleaned_data["question"])
        context = {"form": form, "trial": trial, "turn_link": trial.turn_id and self.turn_link(request, trial.turn_id)}
        return TemplateResponse(request, "console/trial.html", context)

    def asking(self, request: HttpRequest, instance: ModelInstance) -> Principal:
        """Who the trial's turn is of."""
        return operator(request, instance)


class RoutingRuleForm(PlatformForm):
    conditions = LinesField(
        rows=6,
        help_text=_(
            "One a line; all must hold, none: always. Such as max_tokens < 2000, temperature <= 0.7, "
            "complexity_score > 0.8, language in ['zh', 'en'], metadata.plan == 'gold', header.x-team == 'search'."
        ),
    )
    fallbacks = LinesField(
        rows=3,
        help_text=_(
            "Public names, one a line, at most 8: where the model cannot answer (out of service, failing before its "
            "first token, too small for the conversation), the request goes on with these, in this order. None: only "
            "the other models that matched."
        ),
    )

    class Meta:
        model = RoutingRule
        fields = ["name", "tenant", "priority", "conditions", "model", "weight", "fallbacks", "enabled"]
        help_texts = {
            "name": _("What decision records call it."),
            "priority": _("Higher goes first; a tenant's own rules go before the platform's."),
            "weight": _("Its share among the rules of the same priority that match."),
        }


class RoutingRuleAdmin(PlatformAdmin):
    form = RoutingRuleForm
    list_display = ["__str__", "owner", "priority", "conditions_text", "model", "weight", "standing"]
    list_filter = ["enabled", BY_TENANT]
    list_select_related = ["tenant"]
    search_fields = ["name", "model", "tenant__slug", "tenant__name"]
    autocomplete_fields = ["tenant"]
    fieldsets = [
        (None, {"fields": ["name", "tenant", "enabled"]}),
        (_("Which requests"), {"fields": ["priority", "conditions"]}),
        (_("Where they go"), {"fields": ["model", "weight", "fallbacks"]}),
    ]

    def save_model(
        self, request: HttpRequest, obj: RoutingRule, form: forms.ModelForm[RoutingRule], change: bool
    ) -> None:
        services.save_rule(rule=obj)

    def delete_model(self, request: HttpRequest, obj: RoutingRule) -> None:
        services.delete_rule(rule=obj)

    @display(description=_("Tenant"), ordering="tenant__name")
    def owner(self, rule: RoutingRule) -> Any:
        return rule.tenant or _("Every tenant")

    @display(description=_("Conditions"))
    def conditions_text(self, rule: RoutingRule) -> Any:
        return "; ".join(map(str, rule.conditions)) or _("always")

    @display(description=_("State"), ordering="enabled", label={"on": "success", "off": "danger"})
    def standing(self, rule: RoutingRule) -> tuple[str, Any]:
        return ("on", _("in use")) if rule.enabled else ("off", _("switched off"))
