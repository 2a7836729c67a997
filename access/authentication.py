"""From a request's headers to a `Principal`, the same for every edge.

`Authorization: Bearer cb_…` or `X-API-Key: cb_…` is an API key, `Bearer cv_…` a visitor's ticket, `Bearer <JWT>` a
member who signed in.
With both headers the key counts: SDKs that insist on a bearer token send a dummy."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import msgspec

from engine.errors import (
    Forbidden,
    IpNotAllowed,
    OriginNotAllowed,
    StoreUnavailable,
    TenantSuspended,
    Unauthenticated,
)
from engine.snapshots import Cell
from engine.types import Principal
from tenants import keys, roles, visitor_tickets
from tenants.credentials import Credentials, KeyView, MemberView
from tenants.directory import TenantTable, TenantView
from tenants.networks import contains, place
from tenants.origins import Origins
from tenants.proxies import TrustedProxies, UntrustedChain
from tenants.tokens import Claims, TokenVerifier
from tenants.visitor_tickets import Visitor, VisitorTickets

RawHeaders = Sequence[tuple[bytes, bytes]]

KEY_ROLE = "developer"
VISITOR_SCOPES = frozenset({"visit"})  # not "chat": whatever takes visitors says so
ROLE_SCOPES = {
    "owner": frozenset({"chat", "sessions", "audit", "manage"}),
    "admin": frozenset({"chat", "sessions", "audit", "manage"}),
    "developer": frozenset({"chat", "sessions"}),
    "auditor": frozenset({"audit"}),
    "member": frozenset({"chat", "sessions"}),
}


class Authenticator:
    """One a process. `headers` are ASGI's (names in lower case), `peer` the other end's address, None on a unix socket.

    Raises Unauthenticated, TenantSuspended, IpNotAllowed; OriginNotAllowed for a visitor on another's web page;
    StoreUnavailable when a credential that is not in memory cannot be looked up."""

    def __init__(
        self,
        credentials: Credentials,
        tokens: TokenVerifier,
        tenants: Cell[TenantTable],
        trusted_proxies: TrustedProxies,
        *,
        tickets: VisitorTickets,
        origins: Origins,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._credentials = credentials
        self._tokens = tokens
        self._tenants = tenants
        self._proxies = trusted_proxies
        self._tickets = tickets
        self._origins = origins
        self._clock = clock
        self._table = tenants.value
        self._tables = 0

    def changes(self) -> int:
        """Another number than before if a credential may mean something else since then."""
        table = self._tenants.value
        if table is not self._table:
            self._table, self._tables = table, self._tables + 1
        return self._tables + self._credentials.keys.applied + self._credentials.members.applied

    def body_limit(self, tenant_id: int) -> int | None:
        """Bytes that a request of the tenant's callers may have; None: as for everybody."""
        tenant = self._tenants.value.by_id.get(tenant_id)
        return tenant.body_limit if tenant is not None else None

    def expires_at(self, headers: RawHeaders) -> float:
        """When a credential that was accepted ends by itself, in Unix seconds, as far as memory knows."""
        secret = credential(headers)
        if secret.startswith(keys.PREFIX):
            key = self._credentials.keys.cached(keys.digest(secret))
            return math.inf if key is None or key.expires_at is None else key.expires_at
        if secret.startswith(visitor_tickets.PREFIX):
            return self._tickets.verify(secret).exp
        return self._tokens.verify(secret).exp

    def cached(self, headers: RawHeaders, peer: str | None) -> Principal | None:
        """The caller, if memory alone can tell; None: await `authenticate`."""
        secret = credential(headers)
        if secret.startswith(keys.PREFIX):
            key = self._credentials.keys.cached(keys.digest(secret))
            return None if key is None else self._by_key(key, headers, peer)
        if secret.startswith(visitor_tickets.PREFIX):
            return self._by_ticket(self._tickets.verify(secret), headers, peer)
        claims = self._tokens.verify(secret)
        member = self._credentials.members.cached(claims.member)
        return None if member is None else self._by_token(claims, member, headers, peer)

    async def authenticate(self, headers: RawHeaders, peer: str | None) -> Principal:
        principal = self.cached(headers, peer)
        return principal if principal is not None else await self._look_up(headers, peer)

    async def _look_up(self, headers: RawHeaders, peer: str | None) -> Principal:
        secret = credential(headers)
        if secret.startswith(keys.PREFIX):
            key = await self._credentials.keys.resolve(keys.digest(secret)) if keys.well_formed(secret) else None
            if key is not None:
                return self._by_key(key, headers, peer)
        else:
            claims = self._tokens.verify(secret)
            member = await self._credentials.members.resolve(claims.member)
            if member is not None:
                return self._by_token(claims, member, headers, peer)
        raise Unauthenticated

    def _by_key(self, key: KeyView, headers: RawHeaders, peer: str | None) -> Principal:
        if key.expires_at is not None and key.expires_at <= self._clock():
            raise Unauthenticated("The API key has expired.")
        tenant = self._admit(key.tenant_id, headers, peer)
        name = f"key:{key.id}"
        return Principal(
            tenant_id=tenant.id,
            tenant=tenant.slug,
            kind="key",
            subject=name,
            user=name,
            role=KEY_ROLE,
            scopes=key.scopes,
            key_id=key.id,
        )

    def _by_token(self, claims: Claims, member: MemberView, headers: RawHeaders, peer: str | None) -> Principal:
        tenant = self._admit(member.tenant_id, headers, peer)
        if claims.tenant != tenant.slug or not member.is_stamp(claims.stamp):
            raise Unauthenticated
        return Principal(
            tenant_id=tenant.id,
            tenant=tenant.slug,
            kind="member",
            subject=f"member:{member.id}",
            user=str(member.id),
            role=member.role,
            scopes=ROLE_SCOPES[member.role],
            member_id=member.id,
        )

    def _by_ticket(self, visitor: Visitor, headers: RawHeaders, peer: str | None) -> Principal:
        """From memory alone. Tickets end with the tenant's wish to have visitors."""
        known = self._tenants.value.by_slug.get(visitor.tenant)
        if known is None or not known.site.takes(signed=visitor.signed):
            raise Unauthenticated("The ticket is not valid any more.")
        tenant = self._admit(known.id, headers, peer)
        if not self._origins.allows(headers, tenant):
            raise OriginNotAllowed
        name = f"visitor:{visitor.visitor}"
        return Principal(
            tenant_id=tenant.id,
            tenant=tenant.slug,
            kind="visitor",
            subject=name,
            user=name,
            role="visitor",
            scopes=VISITOR_SCOPES,
            address=self._place(headers, peer),
        )

    def address(self, tenant: TenantView, headers: RawHeaders, peer: str | None) -> str:
        """Where a visitor of the tenant calls from, as limits count it: an IPv4 address, the /64 network of an IPv6
        one, empty where nobody can say. Raises IpNotAllowed."""
        if tenant.networks:
            self._check_address(tenant, headers, peer)
        return self._place(headers, peer)

    def _place(self, headers: RawHeaders, peer: str | None) -> str:
        try:
            address = self._proxies.caller(peer, headers)
        except UntrustedChain:
            raise IpNotAllowed from None
        return place(address) if address is not None else ""

    def _admit(self, tenant_id: int, headers: RawHeaders, peer: str | None) -> TenantView:
        tenant = self._tenants.value.by_id.get(tenant_id)
        if tenant is None:  # created within the last second
            raise StoreUnavailable("The tenant is being set up.", retry_after=1)
        if not tenant.is_active:
            raise TenantSuspended
        if tenant.networks:
            self._check_address(tenant, headers, peer)
        return tenant

    def _check_address(self, tenant: TenantView, headers: RawHeaders, peer: str | None) -> None:
        try:
            address = self._proxies.caller(peer, headers)
        except UntrustedChain:
            raise IpNotAllowed from None
        if address is None or not contains(tenant.networks, address):
            raise IpNotAllowed


def with_user(principal: Principal, user: str | None) -> Principal:
    """The principal of a turn. An API key's caller may name its own users; they are namespaced by the key, so that
    no key can speak for another's users or for a member. A member is always themselves."""
    if not user or principal.kind != "key":
        return principal
    return msgspec.structs.replace(principal, user=f"{principal.subject}:{user}")


def require_scope(principal: Principal, *scopes: str) -> None:
    """One of them is enough. Raises Forbidden."""
    if principal.scopes.isdisjoint(scopes):
        raise Forbidden(f"This credential lacks the scope {' or '.join(scopes)}.")


def role_of(principal: Principal) -> str:
    """As whom of `tenants.roles` the caller acts in the management API."""
    return roles.role_of_key(principal.scopes) if principal.kind == "key" else principal.role


def require_area(principal: Principal, area: str, access: roles.Access) -> None:
    """A member's role, or the one a key's scopes stand for, must allow it. Raises Forbidden."""
    if not roles.may(role_of(principal), area, access):
        raise Forbidden(f"This credential may not {access} this: {area}.")


def credential(headers: RawHeaders) -> str:
    """The secret the caller shows. A header given twice is ambiguous: a proxy in front may have read the other one."""
    key = bearer = None
    for name, value in headers:
        if name == b"x-api-key":
            if key is not None:
                raise Unauthenticated("X-API-Key is given twice.")
            key = value
        elif name == b"authorization":
            if bearer is not None:
                raise Unauthenticated("Authorization is given twice.")
            bearer = value
    if key is not None:
        secret = key.decode("latin-1").strip()
        if not secret.startswith(keys.PREFIX):
            raise Unauthenticated
        return secret
    if bearer is None or bearer[:7].lower() != b"bearer ":
        raise Unauthenticated
    return bearer[7:].decode("latin-1").strip()
