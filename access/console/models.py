"""Screens of routing: model instances with a live test, and routing rules."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminSelectWidget

from access.console.lines import LinesField
from access.console.scoped import PlatformAdmin, everywhere
from access.console.site import bridge_of
from adapters import registry
from adapters.base import AdapterConfig
from engine.errors import EngineError
from engine.types import ChatRequest, Done, Message, Principal
from routing import services
from routing.models import ModelGrant, ModelInstance, RoutingRule
from routing.validation import check_adapter

TEST_TIMEOUT = 60.0
TEST_QUESTION = "Say hello in one short sentence."


class ModelInstanceForm(forms.ModelForm):  # type: ignore[type-arg]
    adapter = forms.ChoiceField(choices=lambda: list(registry.labels().items()), widget=UnfoldAdminSelectWidget)
    api_key = forms.CharField(
        required=False,
        strip=True,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text=_("Kept encrypted and never shown. Empty: the key it has."),
    )
    remove_api_key = forms.BooleanField(required=False, help_text=_("Forget the key it has."))
    languages = LinesField(help_text=_("One a line, such as zh or en; none: any."))

    class Meta:
        model = ModelInstance
        fields = [
            "name", "label", "tenant", "sharing", "enabled", "adapter", "endpoint", "upstream_model", "allow_private",
            "options", "weight", "timeout", "max_concurrency", "context_window", "languages", "version", "price_in",
            "price_out",
        ]  # fmt: skip

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if data.get("api_key") and "adapter" in data and "endpoint" in data:
            config = AdapterConfig(
                endpoint=data["endpoint"], api_key=data["api_key"], options=data.get("options") or {}
            )
            try:
                check_adapter(data["adapter"], config)
            except ValidationError as error:
                self.add_error("api_key", error.messages)
        return data

    def new_key(self) -> str | None:
        """For `services.save_instance`: a key, "" to forget the one it has, None to keep it."""
        if self.cleaned_data["remove_api_key"]:
            return ""
        return self.cleaned_data["api_key"] or None


class GrantInline(TabularInline):
    model = ModelGrant
    extra = 0
    autocomplete_fields = ["tenant"]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        return everywhere(ModelGrant).select_related("tenant")


class ModelInstanceAdmin(PlatformAdmin):
    form = ModelInstanceForm
    inlines = [GrantInline]
    list_display = ["name", "label", "tenant", "adapter", "endpoint", "weight", "has_key", "enabled"]
    list_filter = ["enabled", "adapter", "tenant"]
    list_select_related = ["tenant"]
    search_fields = ["name", "label", "endpoint", "upstream_model", "tenant__slug"]
    autocomplete_fields = ["tenant"]
    actions_detail = ["test"]
    fieldsets = [
        (None, {"fields": ["name", "label", "tenant", "sharing", "enabled"]}),
        (_("Where it is"), {"fields": ["adapter", "endpoint", "upstream_model", "api_key", "remove_api_key",
                                        "allow_private", "options"]}),
        (_("How it is used"), {"fields": ["weight", "timeout", "max_concurrency", "context_window", "languages",
                                           "version", "price_in", "price_out"]}),
    ]  # fmt: skip

    @display(description=_("Key"), boolean=True)
    def has_key(self, instance: ModelInstance) -> bool:
        return bool(instance.sealed_key)

    def save_model(
        self, request: HttpRequest, obj: ModelInstance, form: forms.ModelForm[ModelInstance], change: bool
    ) -> None:
        assert isinstance(form, ModelInstanceForm)
        services.save_instance(instance=obj, api_key=form.new_key())

    @action(description=_("Test"), icon="play_arrow", permissions=["change"])
    def test(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Asks this very instance a question, through the engine and so into the journal like every turn."""
        instance = everywhere(ModelInstance).select_related("tenant").get(pk=object_id)
        chat = ChatRequest(
            messages=[Message("user", TEST_QUESTION)],
            model=instance.name.replace("*", "test"),
            max_tokens=32,
            instance_id=instance.pk,
            edge="console",
        )
        try:
            bridge = bridge_of(request)
            done = bridge.run(bridge.engine.complete(operator(request, instance), chat), TEST_TIMEOUT)
        except EngineError as error:
            messages.error(request, f"{error.code}: {error.message}")
        except TimeoutError:
            messages.error(request, _("No answer within a minute."))
        else:
            messages.success(request, describe(done))
        return HttpResponseRedirect(reverse("admin:routing_modelinstance_change", args=[object_id]))


def operator(request: HttpRequest, instance: ModelInstance) -> Principal:
    """The platform's operator, acting for the instance's tenant; tenant 0 is the platform itself."""
    name = f"operator:{request.user.pk}"
    slug = instance.tenant.slug if instance.tenant is not None else "platform"
    return Principal(
        tenant_id=instance.tenant_id or 0, tenant=slug, kind="system", subject=name, user=name, role="operator"
    )


def describe(done: Done) -> str:
    text = str(done.message.content or "")[:300]
    return f"{done.model}: “{text}” ({done.usage.prompt_tokens} + {done.usage.completion_tokens} tokens)"


class RoutingRuleForm(forms.ModelForm):  # type: ignore[type-arg]
    conditions = LinesField(help_text=_("One a line, such as max_tokens < 2000; all must hold, none: always."))

    class Meta:
        model = RoutingRule
        fields = ["tenant", "name", "priority", "model", "weight", "conditions", "enabled"]


class RoutingRuleAdmin(PlatformAdmin):
    form = RoutingRuleForm
    list_display = ["__str__", "tenant", "priority", "model", "weight", "conditions_text", "enabled"]
    list_filter = ["enabled", "tenant"]
    list_select_related = ["tenant"]
    search_fields = ["name", "model", "tenant__slug"]
    autocomplete_fields = ["tenant"]

    @display(description=_("Conditions"))
    def conditions_text(self, rule: RoutingRule) -> str:
        return "; ".join(map(str, rule.conditions)) or "—"
