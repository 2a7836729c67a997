"""What can be done to model instances and routing rules. The admin, the console, the management API and commands call
these.

Every refusal is a django ValidationError with a dictionary of fields."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, cast

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_noop

from adapters import registry
from adapters.base import AdapterConfig, InvalidAdapterConfig
from engine.outbound import HttpClient
from routing.models import ModelGrant, ModelInstance, RoutingRule
from routing.table import matches
from routing.validation import check_adapter, check_comparisons, count_comparisons
from tenants.models import Tenant
from tenants.secrets import open_sealed, seal

PURPOSE = ModelInstance.sealed_fields["sealed_key"]
ENVIRONMENT = "environment"
LOCAL = "local"
LOCAL_NAME = "smollm2-135m"
NO_MODEL: Final = gettext_noop("There is no model %(name)s that you may use.")
MAX_RULES: Final = 200  # of one tenant


def save_instance(
    *,
    instance: ModelInstance,
    api_key: str | None = None,
    tenants: Iterable[Tenant] | None = None,
    by_tenant: bool = False,
) -> ModelInstance:
    """Checks and saves. `api_key` None keeps the key it has, "" removes it; a key is kept only for the host it was
    given for, as who changes the address need not know the key. `tenants` grants a shared instance to exactly these
    and sets its `sharing` to `listed`; None leaves the grants as they are. `by_tenant`: its tenant changes it; what the
    platform allowed for one private address holds for no other."""
    if tenants is not None:
        instance.sharing = ModelInstance.Sharing.LISTED
    instance.full_clean(exclude={"sealed_key"})
    if has_moved(instance):
        if api_key is None and instance.sealed_key:
            raise ValidationError({"endpoint": "Give the provider key again with another address, or remove it."})
        if by_tenant and instance.allow_private:
            raise ValidationError({"endpoint": "The platform's operators allowed this model the address it had alone."})
    if api_key:
        config = AdapterConfig(endpoint=instance.endpoint, api_key=api_key, options=instance.options)
        check_adapter(instance.adapter, config)
    with transaction.atomic():
        if api_key is not None:
            instance.sealed_key = _sealed(instance, api_key) if instance.pk else ""
        instance.save()
        if api_key and not instance.sealed_key:  # sealed for its row, which a new one only has now
            instance.sealed_key = _sealed(instance, api_key)
            instance.save(update_fields=["sealed_key"])
        if tenants is not None:
            _grant(instance, {tenant.pk for tenant in tenants})
    return instance


def save_rule(*, rule: RoutingRule, usable: Collection[str] | None = None) -> RoutingRule:
    """Checks and saves. `usable` are the names (and wildcards) its models must be among where a tenant makes the rule
    itself; those the rule had before may stay. None: any, also of models that are still to come."""
    rule.full_clean()
    with transaction.atomic():
        if usable is not None:
            check_names(rule, usable, names_kept(rule))
        if rule.tenant_id is not None:  # two that add the last one at the same time wait for each other
            Tenant.objects.select_for_update().filter(pk=rule.tenant_id).first()
            check_room(rule)
        elif rule.enabled:
            _check_effort(rule)
        rule.save()
    return rule


def delete_rule(*, rule: RoutingRule) -> None:
    rule.delete()


def rules_of(tenant_id: int) -> QuerySet[RoutingRule]:
    """A tenant's own rules, in the order they are asked."""
    return RoutingRule.objects.for_tenant(tenant_id).order_by("-priority", "id")


def platform_rules(usable: Collection[str]) -> list[RoutingRule]:
    """The platform's rules that can send a tenant anywhere which may use these names, in the order they are asked; be
    it by a fallback alone."""
    rules = RoutingRule.objects.filter(tenant__isnull=True, enabled=True).order_by("-priority", "id")
    return [rule for rule in rules if any(is_usable(name, usable) for name in (rule.model, *rule.fallbacks))]


def usable_names(tenant_id: int) -> frozenset[str]:
    """Public names (wildcards too) of the instances in service that the tenant may use: its own, those shared with all
    and those it was granted."""
    granted = ModelGrant.objects.for_tenant(tenant_id).values("instance_id")
    shared = Q(tenant__isnull=True) & (Q(sharing=ModelInstance.Sharing.ALL) | Q(pk__in=granted))
    rows = ModelInstance.objects.filter(Q(tenant_id=tenant_id) | shared, enabled=True)
    return frozenset(rows.values_list("name", flat=True))


def is_usable(name: str, usable: Collection[str]) -> bool:
    """Whether a name is one of these or fits one of their wildcards; a wildcard itself is not a name to ask for."""
    return "*" not in name and (name in usable or any(matches(each, name) for each in usable if "*" in each))


def api_key_of(instance: ModelInstance) -> str:
    """The provider key in clear; empty: none. Raises tenants.secrets.SealBroken."""
    if not instance.sealed_key:
        return ""
    return open_sealed(instance.sealed_key, tenant_id=instance.tenant_id, row_id=instance.pk, purpose=PURPOSE)


def ensure_default_instance(*, endpoint: str, api_key: str, name: str, timeout: float) -> ModelInstance | None:
    """The platform's instance behind MODEL_ENDPOINT, API_KEY, MODEL_NAME and MODEL_TIMEOUT; None without an endpoint.

    Made once and kept in step with them; everything else about it is left to people. Without a name it is called
    `default`, and that is what goes upstream: servers of a single model do not mind. An operator's own endpoint may
    be a private address. When it is made, the local model steps back (`enabled` off)."""
    if not endpoint:
        return None
    found = _seeded(ENVIRONMENT)
    local = _seeded(LOCAL) if found is None else None
    if local is not None and _differs(local, {"enabled": False}):
        local.save(update_fields=["enabled"])
    instance = found or ModelInstance(label=ENVIRONMENT, allow_private=True)
    wanted = {"endpoint": endpoint, "name": name or "default", "upstream_model": name, "timeout": timeout}
    if _differs(instance, wanted) or api_key_of(instance) != api_key:
        save_instance(instance=instance, api_key=api_key)
    return instance


def ensure_local_instance(*, endpoint: str, context_window: int = 2048) -> ModelInstance | None:
    """The model `manage.py localmodel` serves; its address is kept in step. None: `wants_local_model` says no."""
    if not wants_local_model():
        return None
    found = _seeded(LOCAL)
    instance = found or ModelInstance(name=LOCAL_NAME, label=LOCAL, allow_private=True, timeout=300)
    if _differs(instance, {"endpoint": endpoint, "context_window": context_window}) or found is None:
        save_instance(instance=instance)
    return instance


def wants_local_model() -> bool:
    """Whether the local model is an instance in use, or there is no instance at all yet."""
    found = _seeded(LOCAL)
    return found.enabled if found is not None else not ModelInstance.objects.everywhere().exists()


def _seeded(label: str) -> ModelInstance | None:
    return ModelInstance.objects.filter(tenant__isnull=True, label=label).first()


def _differs(instance: ModelInstance, wanted: dict[str, object]) -> bool:
    """Sets the wanted values; says whether any was another."""
    changed = {field: value for field, value in wanted.items() if getattr(instance, field) != value}
    for field, value in changed.items():
        setattr(instance, field, value)
    return bool(changed)


def has_moved(instance: ModelInstance) -> bool:
    """Whether its calls, and its key with them, would go elsewhere than those of the row that is saved: by another
    endpoint, another adapter or an option that says where a service is."""
    stored = ModelInstance.objects.everywhere().filter(pk=instance.pk).first() if instance.pk else None
    return stored is not None and _destination(stored) != _destination(instance)


def _destination(instance: ModelInstance) -> str:
    """One that cannot be told is like no other."""
    config = AdapterConfig(endpoint=instance.endpoint, upstream_model=instance.upstream_model, options=instance.options)
    try:
        told = registry.get(instance.adapter)(config, cast(HttpClient, None)).destination
    except InvalidAdapterConfig as error:
        return f"{instance.adapter}: {error}"
    return told or f"{instance.adapter} {instance.endpoint}"


def names_kept(rule: RoutingRule) -> set[str]:
    """Those the rule has already."""
    stored = None if rule._state.adding else RoutingRule.objects.filter(pk=rule.pk, tenant_id=rule.tenant_id).first()
    return {stored.model, *stored.fallbacks} if stored is not None else set()


def check_names(rule: RoutingRule, usable: Collection[str], kept: Collection[str]) -> None:
    """Of a tenant's rule: names it may use, or `kept` from before. Says the same of a name nobody has and of another
    tenant's. Raises ValidationError."""
    for field, names in (("model", [rule.model]), ("fallbacks", rule.fallbacks)):
        for name in names:
            if name not in kept and not is_usable(name, usable):
                raise ValidationError({field: ValidationError(NO_MODEL, params={"name": repr(name)})})


def check_room(rule: RoutingRule) -> None:
    """Of a tenant's rule: that there is one more, and what it is compared with a turn. Raises ValidationError."""
    if rule._state.adding and rules_of(rule.tenant_id or 0).count() >= MAX_RULES:
        raise ValidationError({NON_FIELD_ERRORS: f"A tenant has at most {MAX_RULES} rules."})
    if rule.enabled:
        _check_effort(rule)


def _check_effort(rule: RoutingRule) -> None:
    """A change that makes it no worse may always be saved."""
    scope = Q(tenant__isnull=True) if rule.tenant_id is None else Q(tenant_id=rule.tenant_id)
    rows = RoutingRule.objects.filter(scope, enabled=True).values_list("pk", "conditions")
    efforts = {pk: count_comparisons(conditions) for pk, conditions in rows}
    before, stored = sum(efforts.values()), efforts.get(rule.pk, 0)
    effort = count_comparisons(rule.conditions)
    if effort > stored:
        check_comparisons(before - stored + effort)


def _sealed(instance: ModelInstance, api_key: str) -> str:
    if not api_key:
        return ""
    return seal(api_key, tenant_id=instance.tenant_id, row_id=instance.pk, purpose=PURPOSE)


def _grant(instance: ModelInstance, tenant_ids: set[int]) -> None:
    """One by one: every row that comes or goes is announced."""
    existing = {grant.tenant_id: grant for grant in ModelGrant.objects.everywhere().filter(instance=instance)}
    for tenant_id in sorted(existing.keys() - tenant_ids):
        existing[tenant_id].delete()
    for tenant_id in sorted(tenant_ids - existing.keys()):
        ModelGrant(instance=instance, tenant_id=tenant_id).save()
