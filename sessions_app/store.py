"""Sessions in Valkey: implements `engine.ports.Sessions` for turns.

A turn costs two round trips, one to open and one to append. In between it holds the session's lease
(`sessions_app.leases`): no other turn is let in. A session belongs to a user (`Principal.user`) in a tenant's own
database; for anybody else it does not exist. The exception is an API key: it may name any user of its own in a chat, so
the key itself, naming nobody, reaches the sessions of all of them by their id."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from engine.errors import StoreUnavailable, VersionNotFound
from engine.types import Answerer, ChatRequest, Instance, Json, Message, Principal
from sessions_app import context, records, windows
from sessions_app.context import Past, Talk
from sessions_app.finding import SESSION_ID, Finder, NoSession
from sessions_app.layout import APPEND, NOTED, STATE, Home, home_of, idle_member
from sessions_app.leases import Lease, Leases, Opened
from sessions_app.records import Record
from sessions_app.windows import Windows
from tenants.handles import Store

log = logging.getLogger(__name__)

NOTED_EVERY: Final = 60.0  # seconds after which a session in use is noted as such again,
NOTES: Final = 64  # or sooner: so often in the time until it would be idle
RECENT_FIELD: Final = STATE.index("recent") - len(STATE)  # among the values of an opened session

AfterAppend = Callable[["OpenSession", int], None]
Fork = Callable[[Principal, str, str], Awaitable[str | None]]


@dataclass(slots=True, kw_only=True)
class OpenSession:
    """A session as it was when the turn began. `profile_given`: the turn brought the profile, so it is kept. `key_home`
    is set where an API key speaks for a user it named: the key finds the session again by what is noted there. `lease`
    None: it is only looked at. `record` None: it begins. `crowded`: it outgrew its share of the model's window.
    `last` is the turn, or whatever else, that made its version."""

    id: str
    home: Home
    key_home: Home | None
    principal: Principal
    created: bool
    lease: Lease | None = None
    record: Record | None = None
    answerer: Answerer | None = None
    version: int = 0
    history: Sequence[Message] = ()
    user_profile: Json = field(default_factory=dict)
    profile_given: bool = False
    crowded: bool = False
    last: str = ""

    @property
    def profile_brought(self) -> Json | None:
        return self.user_profile if self.profile_given else None


class SessionStore:
    """`after_append` is told each session that has a new turn, with its version. `fork` is asked where to go on after a
    turn (see `SessionVersions.fork`)."""

    def __init__(self, finder: Finder, leases: Leases | None = None, windows: Windows | None = None) -> None:
        self._finder = finder
        self._windows = windows or Windows()
        self._stores = finder.stores
        self._leases = leases or Leases(finder.stores)
        self.after_append: AfterAppend = lambda session, version: None
        self.fork: Fork = _nowhere

    async def open(self, principal: Principal, request: ChatRequest, turn_id: str) -> OpenSession:
        await self._stores.settled(principal.tenant_id)
        if request.session_id is None:
            session = self._begin(principal, turn_id)
        elif not turn_id:
            session = await self._look(principal, request, request.session_id)
        elif request.follows is None:
            session = await self._reopen(principal, request, request.session_id, turn_id)
        else:
            session = await self._follow(principal, request, request.session_id, turn_id, request.follows)
        if request.user_profile is not None:
            session.user_profile = request.user_profile
            session.profile_given = True
        return session

    def _begin(self, principal: Principal, turn_id: str) -> OpenSession:
        session_id = os.urandom(16).hex()
        home = home_of(principal.tenant_id, principal.user)
        return _new(principal, session_id, self._leases.claim(home, session_id, turn_id) if turn_id else None)

    async def _look(self, principal: Principal, request: ChatRequest, session_id: str) -> OpenSession:
        try:
            home, record = await self._finder.find(principal, session_id)
        except NoSession as missing:
            if not request.create_session or not SESSION_ID.match(session_id):
                raise
            return _new(principal, session_id, None, missing.version)
        return _known(principal, session_id, home, record, None)

    async def _reopen(self, principal: Principal, request: ChatRequest, session_id: str, turn_id: str) -> OpenSession:
        if not SESSION_ID.match(session_id):
            raise NoSession
        opened, version = await self._let_in(principal, session_id, turn_id, create=request.create_session)
        if opened is None:
            raise NoSession
        lease = opened.lease
        if opened.found is None:
            return _new(principal, session_id, lease, version)
        session = _known(principal, session_id, lease.home, records.read(session_id, *opened.found), lease)
        recent = opened.found[0][RECENT_FIELD] or b""
        session.last = recent.decode().partition(" ")[0]
        return session

    async def _follow(
        self, principal: Principal, request: ChatRequest, session_id: str, turn_id: str, follows: str
    ) -> OpenSession:
        """Raises VersionNotFound: there is no such turn to go on from."""
        session = await self._reopen(principal, request, session_id, turn_id)
        assert session.lease is not None
        if session.last == follows:
            return session
        try:
            branch = await self.fork(principal, session_id, follows)
        except BaseException:
            self._leases.release(session.lease)
            raise
        if branch is None:
            return session
        self._leases.release(session.lease)
        return await self._reopen(principal, request, branch, turn_id)

    async def _let_in(
        self, principal: Principal, session_id: str, turn_id: str, *, create: bool
    ) -> tuple[Opened | None, int]:
        """The session, brought back or compared with the journal where it has to be. If there is none, the version that
        one goes on from which begins now: it is asked for under the lease, when nobody else can begin one."""
        own = home_of(principal.tenant_id, principal.user)
        opened = await self._leases.open(own, session_id, turn_id, create=create)
        try:
            owning = self._finder.owner(principal, session_id) if _lacking(opened) else None
            if owning is not None and (owner := await owning) is not None:
                self._release(opened)
                home = Home(own.tenant_id, owner.decode())
                opened = await self._leases.open(home, session_id, turn_id, create=False)
            verified = False
            while True:
                if opened is None or opened.found is None:
                    back, version = await self._finder.recovery.recover(principal, session_id)
                    if back is None and (opened is not None or not create):
                        return opened, version
                    if opened is not None and opened.lease.home != back:
                        self._release(opened)
                    # None: one of the key's users had it, and it was deleted; the key begins one of its own
                    opened = await self._leases.open(back or own, session_id, turn_id, create=back is None)
                elif not verified and self._doubtful(opened):
                    verified = True
                    await self._finder.recovery.verify(opened.lease.home, session_id)
                    opened = await self._leases.open(opened.lease.home, session_id, turn_id, create=False)
                else:
                    return opened, 0
        except BaseException:
            self._release(opened)
            raise

    def _doubtful(self, opened: Opened) -> bool:
        lease, found = opened.lease, opened.found
        assert found is not None
        *fields, holder = found[0]
        fields.append(None if holder == lease.turn_id.encode() else holder)
        return self._finder.doubtful(lease.home, lease.session_id, fields)

    def _release(self, opened: Opened | None) -> None:
        if opened is not None:
            self._leases.release(opened.lease)

    async def window(
        self,
        session: OpenSession | None,
        messages: Sequence[Message],
        instance: Instance,
        model: str = "",
        request: ChatRequest | None = None,
    ) -> list[Message]:
        fitted = await self._windows.fit(self._talk(session, messages), instance, model, request)
        if session is not None:
            session.crowded = self._windows.is_crowded(fitted, instance)
        return fitted.messages

    def needs(self, session: OpenSession | None, messages: Sequence[Message]) -> int:
        return windows.least(self._talk(session, messages))

    def _talk(self, session: OpenSession | None, messages: Sequence[Message]) -> Talk:
        if session is None:
            return Talk(context.NOTHING, messages, kept=False)
        view = self._finder.view(session.home.tenant_id)
        line = context.profile_line(session.user_profile, view.profile_template if view is not None else "")
        return Talk(Past.of(session.record) if session.record is not None else context.NOTHING, messages, line)

    async def confirm(self, session: OpenSession) -> None:
        if session.lease is not None:
            await self._leases.confirm(session.lease)

    async def append(
        self, session: OpenSession, messages: Sequence[Message], answerer: Answerer | None, turn_id: str
    ) -> None:
        """A session that was deleted while the turn ran stays deleted."""
        assert session.lease is not None, "a session that was only looked at takes no turn"
        home = session.home
        system, said = records.split_system(messages)
        fields: list[str | bytes | int] = []
        if system:
            fields += ["system", records.encode(system)]
        if session.profile_given:
            fields += ["user_profile", records.encode(session.user_profile)]
        if answerer is not None:
            fields += ["model", answerer.model, "instance", answerer.instance_id, "model_version", answerer.version]
        turn = records.encode(said) if said else b""
        connection = self._stores.tenant(home.tenant_id)
        self._note_use(connection, session)
        keys = [*home.keys(session.id), home.index, home.lease(session.id)]
        model, era = answerer.model if answerer is not None else "", connection.era(keys[0])
        about = (session.id, turn, session.version, int(session.created), turn_id, model, era)
        outcome, version, *following = await connection.run(APPEND, keys, *about, *fields)
        self._leases.forget(session.lease)
        self._leases.pass_on(*following)
        if outcome == 1:
            self.after_append(session, version)
        else:
            await self._rebuild(session, overtaken=outcome < 0)

    def _note_use(self, connection: Store, session: OpenSession) -> None:
        """What finds idle sessions, and a key's sessions, are notes beside the session. They may be a minute behind it,
        for whoever goes by them looks at the session too: so a turn soon after the last one writes none."""
        home, record, now = session.home, session.record, time.time()
        lifetime = self._finder.ttl(home.tenant_id)
        period = min(NOTED_EVERY, lifetime / (1000 * NOTES))
        if record is not None and now // period == record.last_active // period:
            return
        if session.key_home is not None:
            connection.send("SET", session.key_home.owner(session.id), home.user, "PX", lifetime + NOTED)
        connection.send("ZADD", home.idle, "GT", int(now), idle_member(home.user, session.id))

    async def _rebuild(self, session: OpenSession, *, overtaken: bool) -> None:
        """The store cannot take the turn; the journal has it. If the session still is one, it comes from there now."""
        log.info("session %s was %s a turn", session.id, "written beside" if overtaken else "deleted or lost under")
        try:
            await self._finder.recovery.recover(session.principal, session.id)
        except StoreUnavailable as error:
            log.warning("session %s is rebuilt when it is next wanted: %r", session.id, error)

    async def close(self, session: OpenSession, *, unsure: bool = False) -> None:
        if session.lease is not None:
            self._leases.release(session.lease, unsure=unsure)

    def stop(self) -> None:
        """Leases are no longer prolonged."""
        self._leases.close()


async def _nowhere(principal: Principal, session_id: str, turn_id: str) -> str | None:
    raise VersionNotFound


def _lacking(opened: Opened | None) -> bool:
    return opened is None or opened.found is None


def _new(principal: Principal, session_id: str, lease: Lease | None, version: int = 0) -> OpenSession:
    home = home_of(principal.tenant_id, principal.user)
    return OpenSession(
        id=session_id,
        home=home,
        key_home=_key_home(principal, home),
        principal=principal,
        created=True,
        lease=lease,
        version=version,
    )


def _known(principal: Principal, session_id: str, home: Home, record: Record, lease: Lease | None) -> OpenSession:
    return OpenSession(
        id=session_id,
        home=home,
        key_home=_key_home(principal, home),
        principal=principal,
        created=False,
        lease=lease,
        record=record,
        answerer=record.answerer,
        version=record.version,
        history=record.messages,
        user_profile=record.user_profile,
    )


def _key_home(principal: Principal, home: Home) -> Home | None:
    if principal.kind != "key" or home.user == principal.subject:
        return None
    return home_of(principal.tenant_id, principal.subject)
