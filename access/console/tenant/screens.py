"""A tenant's console put together: every screen at its model."""

from __future__ import annotations

from access.console.tenant.site import TenantSite


def tenant_site() -> TenantSite:
    """The site for `/console/`."""
    return TenantSite(name="console")
