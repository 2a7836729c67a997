"""What can be done to tenants, members and keys. The admin, the console, the management API and commands call these.

Every refusal is a django ValidationError with a dictionary of fields."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from tenants import keys, stored_keys
from tenants.allowances import copy_limits
from tenants.models import ApiKey, IpRule, Member, Role, StoreLayout, Tenant, User
from tenants.validation import clean_scopes

ATTEMPTS = 20


def create_tenant(*, slug: str, name: str, **limits: Any) -> Tenant:
    """A tenant with a store database and a key of its own. `limits` are `session_ttl`, `requests_per_minute`,
    `tokens_per_minute`, `concurrent_turns`, `store_url` and `store_layout` (else the setting's)."""
    for _attempt in range(ATTEMPTS):
        values = {"store_layout": settings.STORE_LAYOUT, **limits}
        tenant = Tenant(slug=slug, name=name, store_database=_free_database(values["store_layout"]), **values)
        tenant.full_clean(exclude={"store_database"})
        try:
            with transaction.atomic():
                tenant.save(force_insert=True)
                stored_keys.make(tenant.pk)
                return tenant
        except IntegrityError:  # somebody else took the database (or the slug: full_clean says so next)
            continue
    raise ValidationError({"slug": gettext_noop("Too many tenants are being created at once; try again.")})


def suspend_tenant(*, tenant: Tenant) -> None:
    """Its callers get 403 `tenant_suspended` from the next second on; nothing is deleted."""
    _set_active(tenant, False)


def resume_tenant(*, tenant: Tenant) -> None:
    """One that is closed is taken back instead, which also says that it is not to be deleted."""
    if tenant.closed_at is not None:
        raise ValidationError({"is_active": _("This tenant is closed: take the closing back instead.")})
    _set_active(tenant, True)


def add_member(*, tenant: Tenant, user: User, role: str = Role.MEMBER) -> Member:
    member = Member(tenant=tenant, user=user, role=role)
    _clean(member, "user")
    member.save(force_insert=True)
    return member


def create_api_key(
    *,
    tenant: Tenant,
    name: str,
    scopes: Iterable[str] = (),
    expires_at: datetime | None = None,
    created_by: User | None = None,
) -> tuple[ApiKey, str]:
    """The row and the key itself, which is nowhere else and never seen again. No scopes: chat and sessions."""
    if expires_at is not None and expires_at <= timezone.now():
        raise ValidationError({"expires_at": gettext_noop("This lies in the past.")})
    plain = keys.new_key()
    row = ApiKey(
        tenant=tenant,
        name=name,
        digest=keys.digest(plain),
        hint=keys.hint(plain),
        scopes=clean_scopes(scopes),
        expires_at=expires_at,
        created_by=created_by,
    )
    row.full_clean(exclude={"digest"})
    row.save(force_insert=True)
    return row, plain


def revoke_api_key(*, key: ApiKey) -> None:
    """Refused everywhere within two seconds. Revoking twice keeps the first time."""
    if key.revoked_at is None:
        key.revoked_at = timezone.now()
        key.save(update_fields=["revoked_at"])


def change_api_key(*, key: ApiKey, **values: Any) -> ApiKey:
    """Sets `name`, `scopes` or `expires_at`. What was revoked stays as it is."""
    if key.revoked_at is not None:
        raise ValidationError(gettext_noop("This key is revoked."))
    expires_at = values.get("expires_at")
    if expires_at is not None and expires_at != key.expires_at and expires_at <= timezone.now():
        raise ValidationError({"expires_at": gettext_noop("This lies in the past.")})
    changed = {name: value for name, value in values.items() if getattr(key, name) != value}
    for name, value in changed.items():
        setattr(key, name, value)
    if changed:
        key.full_clean(exclude={"digest"})
        key.save(update_fields=[*changed])
    return key


def rotate_api_key(
    *, key: ApiKey, grace: timedelta = timedelta(), created_by: User | None = None
) -> tuple[ApiKey, str]:
    """A new key of the same settings and limits, and the key itself. The old one ends after `grace`, or when it would
    have ended anyway if that is sooner; without grace it is revoked at once."""
    if key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= timezone.now()):
        raise ValidationError(gettext_noop("This key has ended."))
    with transaction.atomic():
        row, plain = create_api_key(
            tenant=key.tenant, name=key.name, scopes=key.scopes, expires_at=key.expires_at, created_by=created_by
        )
        row.replaces = key
        row.save(update_fields=["replaces"])
        copy_limits(key=key, to=row)
        if not grace:
            revoke_api_key(key=key)
            return row, plain
        end = timezone.now() + grace
        if key.expires_at is None or end < key.expires_at:
            key.expires_at = end
            key.save(update_fields=["expires_at"])
    return row, plain


def allow_network(*, tenant: Tenant, network: str, note: str = "") -> IpRule:
    """From the first one on, the tenant's callers must come from one of its networks."""
    rule = IpRule(tenant=tenant, network=network, note=note)
    _clean(rule, "network")
    rule.save(force_insert=True)
    return rule


def _free_database(layout: str) -> int:
    """A number of its own also for a tenant whose keys lie elsewhere; of these there may be more than databases."""
    taken = set(Tenant.objects.values_list("store_database", flat=True))
    first = settings.FIRST_TENANT_DATABASE
    if layout == StoreLayout.PREFIX:
        return next(number for number in count(first) if number not in taken)
    databases = range(first, settings.VALKEY_DATABASES)
    for database in databases:
        if database not in taken:
            return database
    raise ValidationError({"store_database": f"All {len(databases)} store databases are taken (VALKEY_DATABASES)."})


def _set_active(tenant: Tenant, active: bool) -> None:
    tenant.is_active = active
    tenant.save(update_fields=["is_active"])


def _clean(row: Member | IpRule, field: str) -> None:
    """Puts what a constraint over several fields says beside the field people can change."""
    try:
        row.full_clean()
    except ValidationError as error:
        messages = error.message_dict
        if "__all__" in messages:
            messages.setdefault(field, []).extend(messages.pop("__all__"))
        raise ValidationError(messages) from None
