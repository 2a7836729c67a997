"""Tenants, the people in them, their keys, what they may use, and the addresses they call from."""

from tenants.models.access import ApiKey, IpRule
from tenants.models.alerts import Alert, AlertKind, AlertReading, AlertRule, AlertWatch, ServiceObjective
from tenants.models.allowance import Allowance
from tenants.models.chat_site import ChatSite
from tenants.models.operation import ConfigVersion, Job
from tenants.models.people import Invitation, Member, Role, SupportVisit, User
from tenants.models.tenant import AtLimit, StoreLayout, Tenant, TenantKey

__all__ = [
    "Alert",
    "AlertKind",
    "AlertReading",
    "AlertRule",
    "AlertWatch",
    "Allowance",
    "ApiKey",
    "AtLimit",
    "ChatSite",
    "ConfigVersion",
    "Invitation",
    "IpRule",
    "Job",
    "Member",
    "Role",
    "ServiceObjective",
    "StoreLayout",
    "SupportVisit",
    "Tenant",
    "TenantKey",
    "User",
]
