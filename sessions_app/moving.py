"""Moves a tenant's store to another place while it is in use.

Its keys are copied until little changes; then turns wait (`Tenant.store_moving`), the rest is copied, and the address
is changed in the same save that lets them go on. What turns that were on their way still wrote to the old place is
merged, then the old copy is deleted. A `Job` remembers where it came to: a move that was interrupted is finished by
asking for it again, or taken back before the address was changed."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, Self, TypeVar

import msgspec
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction

from engine.errors import StoreUnavailable
from engine.snapshots import Cell
from sessions_app.carrying import Carrier, empty
from tenants import addresses, jobs, prefixed, secrets
from tenants.directory import TenantTable, TenantView, compile_tenants
from tenants.handles import Store
from tenants.isolation import Stores
from tenants.models import Job, StoreLayout, Tenant
from tenants.resp import Script
from tenants.survey import database_count

KIND: Final = "movetenant"
FOLLOW: Final = 1.5  # seconds after which every worker has heard of a change
ROUNDS: Final = 5  # copies while turns go on
FEW: Final = 500  # changed keys that are copied in no time
PURPOSE: Final = "move of a store"
LOCK: Final = 15.0  # seconds until a process that says nothing is taken for dead
ERASURE: Final = "erase_user"  # the kind of jobs that delete a user's sessions, see `access.erasing`

_HOLD: Final = Script("""
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
""")
_LET_GO: Final = Script("if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end")

Tell = Callable[[str], None]
T = TypeVar("T")


class Place(msgspec.Struct, frozen=True):
    """Where a tenant's keys lie; with `url` the layout means nothing."""

    layout: str
    url: str = ""

    @classmethod
    def named(cls, text: str) -> Self:
        """`database`, `prefix`, or the address of a server."""
        return cls(text) if text in StoreLayout.values else cls(StoreLayout.DATABASE, text)

    @classmethod
    def of(cls, tenant: Tenant) -> Self:
        return cls(StoreLayout.DATABASE if tenant.store_url else tenant.store_layout, tenant.store_url)


class Move(msgspec.Struct, frozen=True):
    """One that was begun. `switched`: the tenant lives at `target` by now, its old copy may be left."""

    job_id: int
    source: Place
    target: Place
    switched: bool


class CannotMove(Exception):
    """The message says why; nothing has changed."""


class NoDatabase(CannotMove):
    """The server has not as many."""


def unfinished(tenant: Tenant) -> Move | None:
    mine = Job.objects.for_tenant(tenant.pk).filter(kind=KIND, state__in=jobs.OPEN)
    job = mine.exclude(arguments={}).order_by("-pk").first()
    if job is None:
        return None
    sealed = secrets.open_sealed(job.arguments["places"], tenant_id=tenant.pk, row_id=job.pk, purpose=PURPOSE)
    source, target = msgspec.json.decode(sealed, type=tuple[Place, Place])
    return Move(job.pk, source, target, switched=Place.of(tenant) == target)


def move(tenant: Tenant, target: Place, tell: Tell = lambda text: None) -> None:
    """Begins a move, or finishes one that was interrupted. Raises CannotMove, ValidationError, StoreUnavailable; after
    any of them turns go on, and it may be asked for again."""
    begun = unfinished(tenant)
    if begun is not None and begun.target != target:
        raise CannotMove("another move was begun: finish it, or take it back with --abort")
    if begun is None:
        _check(tenant, target)
    with _Hands(tenant) as hands:
        source = Place.of(tenant) if begun is None else begun.source
        try:
            hands.at(source)
        except NoDatabase:
            _hold(tenant, False, target)
            tell("It had no database, so there was nothing to copy. Done.")
            return
        begun = begun or _begin(tenant, target, hands)
        carrier = Carrier(hands.at(begun.source), hands.at(begun.target))
        if begun.switched:
            tell("The address was changed already; what is left is brought along.")
        else:
            _copy(tenant, begun, hands, carrier, tell)
            hands.run(asyncio.sleep(FOLLOW))
        tell(f"{hands.run(carrier.merge())} keys brought along that were written meanwhile")
        hands.clear(begun.source)
    jobs.finish_job(job_id=begun.job_id)
    tell("Done.")


def abort(tenant: Tenant, tell: Tell = lambda text: None) -> None:
    """Takes an unfinished move back: the tenant stays where it is, and the copy is deleted. Raises CannotMove once the
    address was changed, StoreUnavailable."""
    begun = unfinished(tenant)
    if begun is None:
        raise CannotMove("no move was begun")
    if begun.switched:
        raise CannotMove("the address was changed already: finish the move, then move the tenant back")
    with _Hands(tenant) as hands:
        _hold(tenant, False)
        hands.clear(begun.target)
    jobs.fail_job(job_id=begun.job_id, error="Taken back.")
    tell("Taken back.")


class _Hands:
    """The operator's handles of a tenant's places, on an event loop of their own that runs when it is asked to. One at
    a time of a tenant's: two that copy would delete what the other has copied."""

    def __init__(self, tenant: Tenant) -> None:
        self._view = compile_tenants().by_id[tenant.pk]
        self._runner = asyncio.Runner()
        self._stores = Stores(settings.VALKEY_NODES, Cell(TenantTable()))
        self._lock = f"moving:{{{tenant.pk}}}"
        self._token = os.urandom(8).hex()

    def __enter__(self) -> Self:
        """Raises CannotMove, StoreUnavailable."""
        try:
            self._runner.run(self._hold())
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(StoreUnavailable):
            self._runner.run(self._let_go())
        self._close()

    def _close(self) -> None:
        self._runner.run(self._stores.close())
        self._runner.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Raises CannotMove where another process has taken over."""
        return self._runner.run(self._holding(work))

    async def _holding(self, work: Coroutine[Any, Any, T]) -> T:
        doing = asyncio.ensure_future(work)
        try:
            await self._hold()
            while not (await asyncio.wait([doing], timeout=LOCK / 5))[0]:
                await self._hold()
        except BaseException:
            doing.cancel()
            await asyncio.wait([doing])
            raise
        return doing.result()

    async def _hold(self) -> None:
        if not await self._stores.platform().run(_HOLD, [self._lock], self._token, int(LOCK * 1000)):
            raise CannotMove(f"it is being moved right now; if that process is gone, ask again in {LOCK:.0f} s")

    async def _let_go(self) -> None:
        await self._stores.platform().run(_LET_GO, [self._lock], self._token)

    def at(self, place: Place) -> Store:
        """Raises NoDatabase for one the server does not have: nothing can lie there."""
        if not place.url and place.layout == StoreLayout.DATABASE and self.run(self._lacks_database(place)):
            raise NoDatabase("the store has too few numbered databases for that")
        return self._stores.operator(self._view_at(place))

    async def _lacks_database(self, place: Place) -> bool:
        for server in await self._stores.at(self._view_at(place)).deployment.servers():
            count = await database_count(server)
            if count is not None and count <= self._view.store_database:
                return True
        return False

    def clear(self, place: Place) -> None:
        """Deletes all keys there; of a prefix the tenant's user too."""
        self.run(empty(self.at(place)))
        if place.layout == StoreLayout.PREFIX:
            self.run(self._revoke(place))

    async def _revoke(self, place: Place) -> None:
        for server in await self._stores.at(self._view_at(place)).deployment.servers():
            await prefixed.revoke(server, self._view.id)

    def is_empty(self, place: Place) -> bool:
        return self.run(self._is_empty(self.at(place)))

    async def _is_empty(self, store: Store) -> bool:
        async for names in store.scan():
            if names:
                return False
        return True

    def _view_at(self, place: Place) -> TenantView:
        return msgspec.structs.replace(self._view, store_layout=place.layout, store_url=place.url)


def _check(tenant: Tenant, target: Place) -> None:
    """Raises CannotMove; ValidationError for an address that is none, or another tenant's."""
    if Place.of(tenant) == target:
        raise CannotMove("the tenant is there already")
    _check_erasures(tenant)
    wished = Tenant.objects.get(pk=tenant.pk)
    wished.store_layout, wished.store_url = target.layout, target.url
    wished.full_clean()
    try:
        addresses.parse(target.url or settings.VALKEY_NODES[0])
    except ValueError as error:
        raise ValidationError({"store_url": str(error)}) from None


def _check_erasures(tenant: Tenant) -> None:
    """Raises CannotMove."""
    if Job.objects.for_tenant(tenant.pk).filter(kind=ERASURE, state__in=jobs.OPEN).exists():
        raise CannotMove("a user of it is being erased: ask again when that is done")


def _begin(tenant: Tenant, target: Place, hands: _Hands) -> Move:
    source = Place.of(tenant)
    if not target.url:
        hands.clear(target)  # what an earlier move may have left there is the tenant's own
    elif not hands.is_empty(target):
        raise CannotMove("the database at that address is not empty")
    with transaction.atomic():
        job = jobs.queue_job(tenant_id=tenant.pk, kind=KIND, created_by="command")
        places = msgspec.json.encode((source, target)).decode()  # an address may hold a password
        job.arguments = {"places": secrets.seal(places, tenant_id=tenant.pk, row_id=job.pk, purpose=PURPOSE)}
        job.save(update_fields=["arguments"])
        jobs.start_job(job_id=job.pk)
    try:  # again: one that began before it could see this job
        _check_erasures(tenant)
    except CannotMove as error:
        jobs.fail_job(job_id=job.pk, error=str(error))
        raise
    return Move(job.pk, source, target, switched=False)


def _copy(tenant: Tenant, begun: Move, hands: _Hands, carrier: Carrier, tell: Tell) -> None:
    """Until the tenant lives at the target."""
    for _ in range(ROUNDS):
        began = time.monotonic()
        changed = hands.run(carrier.carry())
        tell(f"{changed} keys copied in {time.monotonic() - began:.1f} s")
        if changed <= FEW:
            break
    began = time.monotonic()
    try:
        _hold(tenant, True)
        hands.run(asyncio.sleep(FOLLOW))
        hands.run(carrier.carry())
        _hold(tenant, False, begun.target)
    except BaseException:
        _hold(tenant, False)
        raise
    tell(f"Turns waited {time.monotonic() - began:.1f} s")


def _hold(tenant: Tenant, moving: bool, place: Place | None = None) -> None:
    """Has the tenant's turns wait, or lets them go on, at `place` if it is another one."""
    tenant.refresh_from_db(fields=["store_layout", "store_url", "store_moving"])
    tenant.store_moving = moving
    if place is not None:
        tenant.store_layout, tenant.store_url = place.layout, place.url
    tenant.save(update_fields=["store_layout", "store_url", "store_moving"])
