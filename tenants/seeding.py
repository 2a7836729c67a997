"""What a fresh platform starts with: its administrator, and a demo tenant with a key. Safe to run at every start."""

from __future__ import annotations

import secrets

import msgspec
from django.db import transaction

from tenants.models import ApiKey, Member, Role, Tenant, User
from tenants.services import add_member, create_api_key, create_tenant

ADMIN = "admin"
TENANT = "demo"
KEY_NAME = "bootstrap"
PASSWORD_BYTES = 15


class Seeded(msgspec.Struct, frozen=True, kw_only=True):
    """`admin_password` and `api_key` are given by the call that made them only: nothing stores them in the clear."""

    tenant: str
    admin_user: str
    admin_password: str | None = None
    api_key: str | None = None


@transaction.atomic
def seed_platform(*, admin_user: str = ADMIN, tenant_slug: str = TENANT, new_key: bool = False) -> Seeded:
    """Makes whatever of the administrator, the tenant, the membership and the key is missing, and changes nothing that
    exists. `new_key`: another key all the same (its file was lost)."""
    user, password = _administrator(admin_user)
    tenant = Tenant.objects.filter(slug=tenant_slug).first()
    if tenant is None:
        tenant = create_tenant(slug=tenant_slug, name="Demo")
    if not Member.objects.for_tenant(tenant.pk).filter(user=user).exists():
        add_member(tenant=tenant, user=user, role=Role.OWNER)
    key = None
    if new_key or not ApiKey.objects.for_tenant(tenant.pk).exists():
        _, key = create_api_key(tenant=tenant, name=KEY_NAME, created_by=user)
    return Seeded(tenant=tenant.slug, admin_user=user.username, admin_password=password, api_key=key)


def _administrator(username: str) -> tuple[User, str | None]:
    user = User.objects.filter(username=username).first()
    if user is not None:
        return user, None
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    return User.objects.create_superuser(username, password=password), password
