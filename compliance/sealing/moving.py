"""Seals changes of configuration for whoever journals them, the sequencer: no turn's user is in them, so they have a
key of their tenant's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from compliance.journal.records import SESSION, KeyRow, Row
from compliance.journal.store import RecordRefused, StoreAway
from compliance.sealing.sealer import UNSEALABLE, Sealer
from engine.snapshots import Cell
from tenants import stored_keys
from tenants.keyring import PLATFORM, KeyTable
from tenants.models import Tenant

Append = Callable[[Sequence[Row], Sequence[KeyRow]], None]


class SealedAppend:
    """`Store.append` for rows that are still to be sealed. What concerned a tenant that is gone opens
    for nobody. Belongs to one thread, and blocks."""

    def __init__(self, append: Append) -> None:
        self._append = append
        self._keys: Cell[KeyTable] = Cell({})
        self._sealer = Sealer(self._keys)

    def __call__(self, rows: Sequence[Row]) -> None:
        """Raises what `Store.append` raises."""
        self._look_up({row[3] for row in rows})
        if any(row[1] == SESSION for row in rows):
            # of users, whose keys may have been destroyed since: nobody tells this sealer, so it begins anew
            self._sealer = Sealer(self._keys)
        try:
            sealed, keys = self._sealer.seal(rows, {})
        except UNSEALABLE as error:
            raise RecordRefused(str(error)) from error
        self._append(sealed, keys)
        self._sealer.durable(keys)

    def _look_up(self, tenant_ids: set[int]) -> None:
        if tenant_ids <= self._keys.value.keys():
            return
        stored_keys.make_missing()
        found = {tenant_id: stored_keys.stored(tenant_id) for tenant_id in {PLATFORM, *tenant_ids}}
        self._keys.swap({**self._keys.value, **{name: keys for name, keys in found.items() if keys is not None}})
        lost = tenant_ids - self._keys.value.keys()
        if PLATFORM in lost or Tenant.objects.filter(pk__in=lost).exists():
            raise StoreAway("a tenant's key cannot be opened, is MASTER_KEY the right one?")
