"""Visitors at the door: who gets a ticket for a tenant's chat, from where, and how often."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from access.asgi import RawHeaders
from access.turns import RunningTurns
from engine.errors import OriginNotAllowed, VisitorsOff
from engine.snapshots import Cell
from engine.types import Principal
from routing.table import PublicModel
from tenants.directory import NO_SITE, SiteView, TenantTable, TenantView
from tenants.origins import Origins
from tenants.visitor_limits import VisitorLimits
from tenants.visitor_tickets import UNNAMED, VisitorTickets

RANDOM_BYTES: Final = 16
CHECK_EVERY: Final = 0.5  # seconds


Address = Callable[[TenantView, RawHeaders, str | None], str]  # `access.authentication.Authenticator.address`


class Ticket(msgspec.Struct, frozen=True):
    """`POST /api/visitors` and `/api/visitor-tickets` answer this. `expires_in` is in seconds."""

    token: str
    expires_in: int
    visitor: str


class Visiting:
    """One a process."""

    def __init__(
        self,
        tenants: Cell[TenantTable],
        tickets: VisitorTickets,
        origins: Origins,
        address: Address,
        limits: VisitorLimits,
    ) -> None:
        self._tenants = tenants
        self._tickets = tickets
        self._origins = origins
        self._address = address
        self._limits = limits

    def site(self, slug: str) -> SiteView:
        """How the tenant's chat looks; of an unknown or suspended tenant like that of one that has set nothing."""
        tenant = self._active(slug)
        return tenant.site if tenant is not None else NO_SITE

    def models(self, principal: Principal, models: Sequence[PublicModel]) -> list[PublicModel]:
        """Those a visitor may choose."""
        view = self._tenants.value.by_id.get(principal.tenant_id)
        return [model for model in models if view is not None and view.site.offers(model.id)]

    async def welcome(self, slug: str, previous: str | None, headers: RawHeaders, peer: str | None) -> Ticket:
        """A ticket for whoever asks; with an older one of the same tenant for the same visitor. Raises VisitorsOff,
        also where there is no such tenant, OriginNotAllowed, IpNotAllowed, RateLimited, StoreUnavailable."""
        tenant = self._active(slug)
        if tenant is None or tenant.site.visitors != "anyone":
            raise VisitorsOff
        if not self._origins.allows(headers, tenant):
            raise OriginNotAllowed
        address = self._address(tenant, headers, peer)
        await self._limits.ticket(tenant, address)
        known = self._tickets.previous(previous) if previous is not None else None
        if known is not None and known.tenant == tenant.slug and not known.signed:
            return self._issue(tenant, known.visitor, tenant.site.ticket_life, signed=False)
        visitor = UNNAMED + secrets.token_urlsafe(RANDOM_BYTES)
        return self._issue(tenant, visitor, tenant.site.ticket_life, signed=False)

    def vouch(self, principal: Principal, visitor: str, name: str, life: int | None) -> Ticket:
        """A ticket for somebody the tenant has signed in itself. Raises VisitorsOff."""
        tenant = self._tenants.value.by_id.get(principal.tenant_id)
        if tenant is None or tenant.site.visitors == "off":
            raise VisitorsOff
        return self._issue(tenant, visitor, life or tenant.site.ticket_life, signed=True, name=name)

    def over(self, principal: Principal) -> bool:
        """Whether this is a visitor whom their tenant does not take any more."""
        if principal.kind != "visitor":
            return False
        tenant = self._active(principal.tenant)
        signed = not principal.user.startswith(f"visitor:{UNNAMED}")
        return tenant is None or not tenant.site.takes(signed=signed)

    async def keep_watch(self, running: RunningTurns) -> None:
        """Ends their turns, until it is cancelled: one that waits for its model now may begin long after."""
        while True:
            await asyncio.sleep(CHECK_EVERY)
            running.end(self.over)

    def _issue(self, tenant: TenantView, visitor: str, life: int, *, signed: bool, name: str = "") -> Ticket:
        token = self._tickets.issue(tenant=tenant.slug, visitor=visitor, life=life, signed=signed, name=name)
        return Ticket(token, life, visitor)

    def _active(self, slug: str) -> TenantView | None:
        tenant = self._tenants.value.by_slug.get(slug)
        return tenant if tenant is not None and tenant.is_active else None
