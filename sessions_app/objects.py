"""Objects of archived sessions, and the rows that name them. Everything here blocks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Final

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import DEFAULT_DB_ALIAS
from django.utils import timezone

from sessions_app.models import ArchivedSession
from tenants.scoping import ScopedQuerySet

log = logging.getLogger(__name__)

ROOT: Final = "sessions"
REQUESTS: Final = 8
KEPT: Final = timedelta(days=2)  # a row outlives its expired session: the journal has its end by then

_requests: Final = ThreadPoolExecutor(REQUESTS, thread_name_prefix="objects")


def rows_of(tenant_id: int) -> ScopedQuerySet[ArchivedSession]:
    return ArchivedSession.objects.for_tenant(tenant_id)


def add_objects(objects: Sequence[tuple[str, bytes]]) -> list[str]:
    """The names they have then; many at a time where each is a request over the network. Raises OSError."""
    add: Callable[[str, bytes], str] | None = getattr(default_storage, "add", None)
    if add is None:
        return [default_storage.save(name, ContentFile(content)) for name, content in objects]
    return list(_requests.map(add, *zip(*objects, strict=True))) if objects else []


def settle(names: Sequence[str]) -> None:
    """A storage that does not say how is one that has what it took."""
    how: Callable[[Sequence[str]], None] | None = getattr(default_storage, "settle", None)
    if how is not None:
        how(names)


def discard(names: Iterable[str]) -> None:
    """Objects that no row names. What cannot be deleted now is found by `tidy`."""
    for name in names:
        try:
            if name:
                default_storage.delete(name)
        except OSError as error:
            log.warning("the object %s stays for now: %s", name, error)


def remove(mine: ScopedQuerySet[ArchivedSession]) -> int:
    """These sessions, objects first: a row without its object is found again. Raises OSError, DatabaseError."""
    removed = 0
    while found := list(mine.values_list("pk", "object_name")[:500]):
        for _, name in found:
            if name:
                default_storage.delete(name)
        removed += int(mine.filter(pk__in=[pk for pk, _ in found])._raw_delete(mine.db))
    return removed


def tidy(tenant_id: int, *, young: timedelta = timedelta(hours=1), kept: timedelta = KEPT) -> int:
    """Removes objects that no row names, unless they are so young that one may be about to, and rows of sessions that
    ended long ago. How many objects. Raises OSError, DatabaseError."""
    rows_of(tenant_id).filter(expired_at__lt=timezone.now() - kept)._raw_delete(DEFAULT_DB_ALIAS)
    removed = 0
    for subject in _listed(f"{ROOT}/{tenant_id}", 0):
        folder = f"{ROOT}/{tenant_id}/{subject}"
        named = set(rows_of(tenant_id).filter(subject=subject).values_list("object_name", flat=True))
        for name in _listed(folder, 1):
            whole = f"{folder}/{name}"
            if whole not in named and default_storage.get_modified_time(whole) < timezone.now() - young:
                default_storage.delete(whole)
                removed += 1
    return removed


def _listed(folder: str, what: int) -> list[str]:
    """What lies there: 0 folders, 1 objects."""
    try:
        return [name for name in default_storage.listdir(folder)[what] if name]
    except FileNotFoundError:
        return []
