"""The snapshot of all tenants the request path reads: who they are, where they may call from, what they may use."""

from __future__ import annotations

from collections import defaultdict

import msgspec

from engine.types import CachePolicy
from tenants.models import IpRule, Tenant
from tenants.networks import Network, parse_network


class TenantView(msgspec.Struct, frozen=True, kw_only=True):
    """One tenant. `session_ttl` and `resume_grace` are in seconds, `snapshot_every` in turns (None: the platform's); a
    limit of None is no limit; no network: any. `store_moving`: turns wait until its store has moved."""

    id: int
    slug: str
    name: str
    is_active: bool = True
    store_database: int
    store_url: str = ""
    store_layout: str = "database"
    store_moving: bool = False
    session_ttl: int | None = None
    session_retention_days: int | None = None
    snapshot_every: int | None = None
    resume_grace: int | None = None
    profile_template: str = ""
    summary_model: str = ""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_turns: int | None = None
    cache: CachePolicy = CachePolicy()
    networks: tuple[Network, ...] = ()


class TenantTable(msgspec.Struct, frozen=True):
    """Every tenant, suspended ones too, by id and by slug."""

    by_id: dict[int, TenantView] = {}
    by_slug: dict[str, TenantView] = {}


def compile_tenants() -> TenantTable:
    """Reads the table from the database; two queries. Blocking: for a thread, never for the event loop."""
    networks: defaultdict[int, list[Network]] = defaultdict(list)
    for tenant_id, network in IpRule.objects.everywhere().order_by("id").values_list("tenant_id", "network"):
        networks[tenant_id].append(parse_network(network))
    views = [_view(tenant, tuple(networks[tenant.pk])) for tenant in Tenant.objects.all()]
    return TenantTable({view.id: view for view in views}, {view.slug: view for view in views})


def _view(tenant: Tenant, networks: tuple[Network, ...]) -> TenantView:
    return TenantView(
        id=tenant.pk,
        slug=tenant.slug,
        name=tenant.name,
        is_active=tenant.is_active,
        store_database=tenant.store_database,
        store_url=tenant.store_url,
        store_layout=tenant.store_layout,
        store_moving=tenant.store_moving,
        session_ttl=tenant.session_ttl,
        session_retention_days=tenant.session_retention_days,
        snapshot_every=tenant.snapshot_every,
        resume_grace=tenant.resume_grace,
        profile_template=tenant.profile_template,
        summary_model=tenant.summary_model,
        requests_per_minute=tenant.requests_per_minute,
        tokens_per_minute=tenant.tokens_per_minute,
        concurrent_turns=tenant.concurrent_turns,
        cache=CachePolicy(ttl=tenant.cache_ttl or 0, sampled=tenant.cache_sampled, coalesce=tenant.coalesce),
        networks=networks,
    )
