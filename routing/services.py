"""What can be done to model instances. The admin, the console, the management API and commands call these.

Every refusal is a django ValidationError with a dictionary of fields."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction

from adapters.base import AdapterConfig
from routing.models import ModelGrant, ModelInstance
from routing.validation import check_adapter
from tenants.models import Tenant
from tenants.secrets import open_sealed, seal

PURPOSE = "model api key"
ENVIRONMENT = "environment"
LOCAL = "local"
LOCAL_NAME = "smollm2-135m"


def save_instance(
    *, instance: ModelInstance, api_key: str | None = None, tenants: Iterable[Tenant] | None = None
) -> ModelInstance:
    """Checks and saves. `api_key` None keeps the key it has, "" removes it. `tenants` grants a shared instance to
    exactly these and sets its `sharing` to `listed`; None leaves the grants as they are."""
    if tenants is not None:
        instance.sharing = ModelInstance.Sharing.LISTED
    instance.full_clean(exclude={"sealed_key"})
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
