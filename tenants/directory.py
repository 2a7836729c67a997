"""The snapshot of all tenants the request path reads: who they are, where they may call from, what they may use."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

import msgspec

from engine.pricing import micros
from engine.types import AUTO, CachePolicy
from tenants.models import AtLimit, ChatSite, IpRule, Tenant
from tenants.networks import Network, parse_network


class SiteView(msgspec.Struct, frozen=True, kw_only=True):
    """How a tenant's chat shows itself, and whom it takes. `visitors`: `off`, `signed` (only with a ticket the tenant
    itself asked for) or `anyone`; `models` are what they may name besides `auto`; `ticket_life` is in seconds."""

    name: str = ""
    greeting: str = ""
    accent: str = "#2563eb"
    background: str = "#ffffff"
    visitors: str = "off"
    origins: frozenset[str] = frozenset()
    models: tuple[str, ...] = ()
    ticket_life: int = 3600
    visitor_requests: int = 10
    address_requests: int = 30

    def takes(self, *, signed: bool) -> bool:
        """Whether a ticket counts: `signed` by the tenant itself, or one for anybody."""
        return self.visitors == "anyone" or (signed and self.visitors == "signed")

    def offers(self, model: str) -> bool:
        """Whether a visitor may name this model."""
        return model == AUTO or model in self.models


NO_SITE: Final = SiteView()


class TenantView(msgspec.Struct, frozen=True, kw_only=True):
    """One tenant. `session_ttl` and `resume_grace` are in seconds, `snapshot_every` in turns (None: the platform's); a
    limit of None is no limit, money is in millionths; where it is used up a `cheaper` model answers if there is one; no
    network: any. `body_limit`: of a request, in bytes (None: as for everybody). `store_moving`: turns wait until its
    store has moved; `share`: its weight among those who wait for the same instance or worker. `stream_interval`:
    milliseconds between two events of a stream (0: as they come)."""

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
    money_per_day: int | None = None
    money_per_month: int | None = None
    cheaper: bool = False
    body_limit: int | None = None
    time_zone: str = "UTC"
    share: int = 1
    cache: CachePolicy = CachePolicy()
    stream_interval: int = 0
    networks: tuple[Network, ...] = ()
    site: SiteView = NO_SITE


class TenantTable(msgspec.Struct, frozen=True):
    """Every tenant, suspended ones too, by id and by slug, and the origins any active one allows."""

    by_id: dict[int, TenantView] = {}
    by_slug: dict[str, TenantView] = {}
    origins: frozenset[str] = frozenset()


def compile_tenants() -> TenantTable:
    """Reads the table from the database; three queries. Blocking: for a thread, never for the event loop."""
    networks: defaultdict[int, list[Network]] = defaultdict(list)
    for tenant_id, network in IpRule.objects.everywhere().order_by("id").values_list("tenant_id", "network"):
        networks[tenant_id].append(parse_network(network))
    sites = {site.tenant_id: _site(site) for site in ChatSite.objects.everywhere()}
    views = [
        _view(tenant, tuple(networks[tenant.pk]), sites.get(tenant.pk, NO_SITE)) for tenant in Tenant.objects.all()
    ]
    origins = frozenset().union(*(view.site.origins for view in views if view.is_active))
    return TenantTable({view.id: view for view in views}, {view.slug: view for view in views}, origins)


def _site(site: ChatSite) -> SiteView:
    return SiteView(
        name=site.name,
        greeting=site.greeting,
        accent=site.accent,
        background=site.background,
        visitors=site.visitors,
        origins=frozenset(site.origins),
        models=tuple(site.visitor_models),
        ticket_life=site.ticket_minutes * 60,
        visitor_requests=site.visitor_requests_per_minute,
        address_requests=site.address_requests_per_minute,
    )


def _view(tenant: Tenant, networks: tuple[Network, ...], site: SiteView) -> TenantView:
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
        money_per_day=micros(tenant.money_per_day),
        money_per_month=micros(tenant.money_per_month),
        cheaper=tenant.at_limit == AtLimit.CHEAPER,
        body_limit=tenant.body_limit << 20 if tenant.body_limit is not None else None,
        time_zone=tenant.time_zone,
        share=tenant.share,
        stream_interval=tenant.stream_interval or 0,
        cache=CachePolicy(ttl=tenant.cache_ttl or 0, sampled=tenant.cache_sampled, coalesce=tenant.coalesce),
        networks=networks,
        site=site,
    )
