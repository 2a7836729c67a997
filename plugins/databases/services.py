"""What can be done to data sources. Consoles, management API and commands call these.

Every refusal is a django ValidationError with a dictionary of fields."""

from __future__ import annotations

import importlib
import logging
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from plugins.databases import addresses
from plugins.databases.addresses import Address, AddressRefused
from plugins.databases.catalogue import Look, Source, dialect_of
from plugins.databases.validation import read_tables
from plugins.models.data_source import DataSource
from tenants.secrets import SealBroken, open_sealed, seal

log = logging.getLogger(__name__)

PURPOSE = DataSource.sealed_fields["sealed_url"]
MOST_SOURCES = 50  # of one tenant


def save_source(*, source: DataSource, url: str | None = None, by_tenant: bool = False) -> DataSource:
    """Checks and saves. `url` None keeps the address it has; a new one must have one. `by_tenant`: its tenant changes
    it; what the platform allowed for one private address holds for no other. Raises ValidationError."""
    address = _address(source, url)
    if address is not None:
        if by_tenant and source.allow_private and address.server != _server_of(source):
            raise ValidationError({"url": "The platform's operators allowed this database the address it had alone."})
        source.dialect, source.place = address.dialect, address.place
        source.may_write = source.looked_at = None
    source.full_clean(exclude={"sealed_url"})
    with transaction.atomic():
        if source._state.adding and DataSource.objects.for_tenant(source.tenant_id).count() >= MOST_SOURCES:
            raise ValidationError({"name": f"At most {MOST_SOURCES} databases."})
        if url and source.pk:
            source.sealed_url = _sealed(source, url)
        source.save()
        if url and not source.sealed_url:  # sealed for its row, which a new one only has now
            source.sealed_url = _sealed(source, url)
            source.save(update_fields=["sealed_url"])
    return source


def url_of(source: DataSource) -> str:
    """The address in clear. Raises tenants.secrets.SealBroken."""
    return open_sealed(source.sealed_url, tenant_id=source.tenant_id, row_id=source.pk, purpose=PURPOSE)


def _server_of(source: DataSource) -> tuple[str, int] | None:
    try:
        return addresses.parse(url_of(source)).server
    except (SealBroken, AddressRefused):
        return None


def looked(source: DataSource, may_write: bool | None) -> None:
    """Notes what a look at the database said of the role."""
    source.may_write, source.looked_at = may_write, timezone.now()
    source.save(update_fields=["may_write", "looked_at"])


def look_at(source: Source) -> Look:
    """Blocking, some seconds. What speaks to databases is loaded with the first look. Raises QueryFailed."""
    found: Look = importlib.import_module("plugins.databases.reading").look(source)
    return found


def view(row: DataSource) -> Source:
    """As the request path sees it. Raises tenants.secrets.SealBroken, ValueError."""
    return Source(
        id=row.pk,
        tenant_id=row.tenant_id,
        tenant=row.tenant.slug,
        name=row.name,
        dialect=dialect_of(row.dialect),
        url=url_of(row),
        tables=read_tables(row.tables),
        description=row.description,
        row_limit=row.row_limit,
        time_limit=row.time_limit,
        cost_limit=row.cost_limit or 0.0,
        private=row.allow_private or settings.DATABASE_PRIVATE,
    )


def compile_sources(tenant_id: int) -> tuple[Source, ...]:
    """Those in use, in the order of their names. One that cannot be read is left out, and logged."""
    found = []
    for row in DataSource.objects.for_tenant(tenant_id).filter(enabled=True).select_related("tenant").order_by("name"):
        try:
            found.append(view(row))
        except (SealBroken, ValueError) as error:
            log.error("the database %s of tenant %s cannot be used: %s", row.name, tenant_id, error)
    return tuple(found)


def own_files() -> tuple[Path, ...]:
    """Of the platform: its folder, and where its databases are files."""
    names = [str(each["NAME"]) for each in settings.DATABASES.values() if "sqlite" in str(each["ENGINE"])]
    return (Path(settings.VAR_DIR), *(Path(name).resolve() for name in names))


def _address(source: DataSource, url: str | None) -> Address | None:
    """Of a new `url`, checked."""
    if not url:
        if not source.sealed_url:
            raise ValidationError({"url": "An address is needed, such as postgresql://user:password@host/name."})
        return None
    return checked_address(url, source.tenant.slug)


def checked_address(url: str, tenant: str) -> Address:
    """`tenant` is the slug. Raises ValidationError."""
    try:
        address = addresses.parse(url)
        if address.dialect == "sqlite":
            addresses.file_of(address.database, tenant=tenant, folder=settings.DATABASE_FOLDER, ours=own_files())
    except AddressRefused as error:
        raise ValidationError({"url": str(error)}) from None
    return address


def _sealed(source: DataSource, url: str) -> str:
    return seal(url, tenant_id=source.tenant_id, row_id=source.pk, purpose=PURPOSE)
