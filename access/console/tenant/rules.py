"""A tenant's own routing rules with the platform's behind them, replayed and explained."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from access.console.models import RoutingRuleForm
from access.console.replay import RoutingScreens, ScopeForm
from access.console.tenant.scoped import BesideShared, here
from access.replaying import KIND
from engine.types import Principal
from routing import services
from routing.models import RoutingRule
from tenants.models import Job, Tenant

_USABLE = "_usable_models"


def usable(request: HttpRequest) -> frozenset[str]:
    """The public names of models the tenant may use; asked once a request."""
    if not hasattr(request, _USABLE):
        setattr(request, _USABLE, services.usable_names(here(request).tenant.pk))
    found: frozenset[str] = getattr(request, _USABLE)
    return found


def seen(rule: RoutingRule, names: frozenset[str]) -> RoutingRule:
    """One of the platform's as the tenant may see it: of its models those it may use. Not to be saved."""
    if rule.tenant_id is None:
        rule.name = rule.name or _("rule %(number)s") % {"number": rule.pk}
        rule.model = rule.model if services.is_usable(rule.model, names) else "—"
        rule.fallbacks = [name for name in rule.fallbacks if services.is_usable(name, names)]
    return rule


class OwnRuleForm(RoutingRuleForm):
    blamed = "conditions"

    def _post_clean(self) -> None:
        """Names that the tenant may not use are refused at their field, as the API does."""
        super()._post_clean()
        if not self.errors:
            try:
                services.check_names(self.instance, self.usable, services.names_kept(self.instance))  # type: ignore[attr-defined]
                services.check_room(self.instance)
            except ValidationError as error:
                self.add_error(None, error)


class OwnRules(BesideShared, RoutingScreens):
    """Of the platform's rules those that may send the tenant anywhere, and of their models those it may use."""

    area = "rules"
    form = OwnRuleForm
    list_display = ["__str__", "priority", "conditions_text", "model", "weight", "standing"]
    list_filter = ["enabled"]
    search_fields = ["name"]
    readonly_fields = ["conditions_text", "fallbacks_text"]
    shared_fields = ["name", "priority", "conditions_text", "model", "weight", "fallbacks_text"]

    def shared(self, request: HttpRequest) -> Q:
        return Q(pk__in=[rule.pk for rule in services.platform_rules(usable(request))])

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> RoutingRule | None:
        found: RoutingRule | None = super().get_object(request, object_id, from_field)
        return seen(found, usable(request)) if found is not None else None

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changes = super().get_changelist_instance(request)
        changes.result_list = [seen(rule, usable(request)) for rule in changes.result_list]
        return changes

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        return type(form.__name__, (form,), {"usable": usable(request)})

    @display(description=gettext_lazy("Fallbacks"))
    def fallbacks_text(self, rule: RoutingRule) -> str:
        return ", ".join(rule.fallbacks) or "—"

    def scope(self, request: HttpRequest) -> tuple[ScopeForm | None, Tenant | None]:
        return None, here(request).tenant

    def usable(self, request: HttpRequest) -> frozenset[str]:
        return usable(request)

    def replays(self, request: HttpRequest) -> QuerySet[Job]:
        return Job.objects.for_tenant(here(request).tenant.pk).filter(kind=KIND)

    def explaining(self, request: HttpRequest) -> Principal | None:
        return here(request).principal()
