"""How far a page reaches: the platform's console sees every tenant's records, a tenant's console its own alone."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.urls import reverse

from access.console.tenant.place import Place, place_of
from tenants.models import Tenant

PLATFORM = "admin"
TENANT = "console"


class Reach(NamedTuple):
    """`site` is the namespace of the console's addresses, `tenant` None where it is everybody's, `actor` as the journal
    calls who looks. `place` is there in a tenant's console."""

    site: str
    actor: str
    tenant: Tenant | None = None
    place: Place | None = None

    def address(self, name: str, *arguments: Any) -> str:
        """Of a page of the same console."""
        return reverse(f"{self.site}:{name}", args=arguments)

    def may(self, area: str, access: Any = "read") -> bool:
        return self.place is None or self.place.may(area, access)

    def demand(self, area: str, access: Any = "change") -> None:
        """Raises PermissionDenied."""
        if not self.may(area, access):
            raise PermissionDenied


def platform_reach(request: HttpRequest) -> Reach:
    """Of an operator in `/admin/`, whom its site has let in."""
    return Reach(PLATFORM, f"operator:{request.user.pk}")


def tenant_reach(request: HttpRequest, area: str) -> Reach:
    """Of somebody in `/console/`. Raises PermissionDenied where they may not read this area."""
    place = place_of(request)
    if place is None or not place.may(area):
        raise PermissionDenied
    return Reach(TENANT, place.actor, place.tenant, place)
