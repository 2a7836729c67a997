"""Where a tenant's callers may come from."""

from __future__ import annotations

from access.console.people import IpRuleAdmin
from access.console.tenant.scoped import TenantAdmin


class OwnAddresses(TenantAdmin, IpRuleAdmin):
    area = "addresses"
