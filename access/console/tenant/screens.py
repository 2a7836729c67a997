"""A tenant's console put together: every screen at its model."""

from __future__ import annotations

from access.console.tenant.addresses import OwnAddresses
from access.console.tenant.keys import OwnKeys
from access.console.tenant.models import OwnModels
from access.console.tenant.site import TenantSite
from routing.models import ModelInstance
from tenants.models import ApiKey, IpRule


def tenant_site() -> TenantSite:
    """The site for `/console/`."""
    site = TenantSite(name="console")
    site.register(ApiKey, OwnKeys)
    site.register(IpRule, OwnAddresses)
    site.register(ModelInstance, OwnModels)
    return site
