"""The rows of the tenants' keys: making them, opening them.

A `TenantKey` holds two secrets, sealed with the master key: one names (HMAC-SHA256; it stays for ever, or nobody would
be found again), one wraps (AES-256-GCM; it can be replaced)."""

from __future__ import annotations

import base64
import binascii
import logging
import os
from collections import defaultdict
from typing import Final

from django.db import IntegrityError, transaction

from tenants import secrets
from tenants.keyring import PLATFORM, SECRET, KeyTable, TenantKeys
from tenants.models import Tenant, TenantKey
from tenants.scoping import ScopedQuerySet
from tenants.secrets import SealBroken

log = logging.getLogger(__name__)

PURPOSE: Final = TenantKey.sealed_fields["sealed"]


def compile_keys() -> KeyTable:
    """Those of all tenants, `PLATFORM` among them; who has none yet gets one. A key that cannot be opened is left out:
    nothing is recorded for its tenant then. Blocking: for a thread, never for the event loop."""
    make_missing()
    rows: defaultdict[int, list[TenantKey]] = defaultdict(list)
    for row in TenantKey.objects.everywhere().order_by("number"):
        rows[row.tenant_id or PLATFORM].append(row)
    opened = {tenant_id: _opened(tenant_id, found) for tenant_id, found in rows.items()}
    return {tenant_id: keys for tenant_id, keys in opened.items() if keys is not None}


def stored(tenant_id: int) -> TenantKeys | None:
    """The tenant's keys from the database; None where there are none, or they cannot be opened. Blocking."""
    rows = TenantKey.objects.for_tenant(tenant_id) if tenant_id else _of_platform()
    return _opened(tenant_id, list(rows.order_by("number")))


def make_missing() -> None:
    """A key for every tenant without one, and for the platform. Safe to run twice, also at once."""
    keyed = TenantKey.objects.everywhere().filter(tenant__isnull=False).values("tenant_id")
    for tenant_id in Tenant.objects.exclude(pk__in=keyed).values_list("pk", flat=True):
        _make_once(tenant_id)
    if not _of_platform().exists():
        _make_once(None)


def make(tenant_id: int | None) -> TenantKey:
    """The first key of a tenant. Raises IntegrityError: it has one."""
    return add(tenant_id, 1, os.urandom(SECRET), os.urandom(SECRET))


def add(tenant_id: int | None, number: int, naming: bytes, wrapping: bytes) -> TenantKey:
    plain = base64.b64encode(naming + wrapping).decode()
    sealed = secrets.seal(plain, tenant_id=tenant_id, row_id=number, purpose=PURPOSE)
    return TenantKey.objects.create(tenant_id=tenant_id, number=number, sealed=sealed)


def opened_secrets(row: TenantKey) -> tuple[bytes, bytes]:
    """What names and what wraps. Raises SealBroken."""
    return parted(secrets.open_sealed(row.sealed, tenant_id=row.tenant_id, row_id=row.number, purpose=PURPOSE))


def parted(plain: str) -> tuple[bytes, bytes]:
    """The two secrets of what a row seals. Raises SealBroken."""
    try:
        both = base64.b64decode(plain, validate=True)
    except binascii.Error as error:
        raise SealBroken("no tenant key") from error
    return both[:SECRET], both[SECRET:]


def _opened(tenant_id: int, rows: list[TenantKey]) -> TenantKeys | None:
    if not rows:
        return None
    try:
        both = [opened_secrets(row) for row in rows]
    except SealBroken as error:
        log.error("the key of tenant %s cannot be opened, is MASTER_KEY the right one? %s", tenant_id, error)
        return None
    return TenantKeys(both[0][0], [wrapping for _, wrapping in both])


def _make_once(tenant_id: int | None) -> None:
    try:
        with transaction.atomic():
            make(tenant_id)
    except IntegrityError:  # another process was faster, or the tenant is gone
        log.debug("tenant %s has a key already", tenant_id)


def _of_platform() -> ScopedQuerySet[TenantKey]:
    return TenantKey.objects.filter(tenant__isnull=True)
