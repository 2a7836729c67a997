"""Sessions in Valkey: implements `engine.ports.Sessions` for turns, and what people do with their sessions besides.

A turn costs two round trips, one to open and one to append. A session belongs to a user (`Principal.user`) in a
tenant's own database; for anybody else it does not exist. The exception is an API key: it may name any user of its own
in a chat, so the key itself, naming nobody, reaches the sessions of all of them by their id."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from engine.errors import InvalidRequest, SessionNotFound
from engine.snapshots import Cell
from engine.types import Answerer, ChatRequest, Instance, Json, Message, Principal
from sessions_app import context, records
from sessions_app.layout import ABOUT, APPEND, DELETE, PATCH, READ, Home
from sessions_app.records import Record
from tenants.directory import TenantTable
from tenants.isolation import Stores

log = logging.getLogger(__name__)

SESSION_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")
MAX_PAGE: Final = 200

Messages = list[Message]  # `list` is a method below


@dataclass(slots=True, kw_only=True)
class OpenSession:
    """A session as it was when the turn began. `profile_given`: the turn brought the profile, so it is kept. `key_home`
    is set where an API key speaks for a user it named: the key finds the session again by what is noted there."""

    id: str
    home: Home
    key_home: Home | None
    created: bool
    answerer: Answerer | None = None
    version: int = 0
    history: Sequence[Message] = ()
    user_profile: Json = field(default_factory=dict)
    profile_given: bool = False


class SessionStore:
    """`session_ttl` is the platform's: seconds a session lives after its last turn, where a tenant has no own."""

    def __init__(self, stores: Stores, tenants: Cell[TenantTable], *, session_ttl: int) -> None:
        self._stores = stores
        self._tenants = tenants
        self._session_ttl = session_ttl

    # A turn ----------------------------------------------------------------------------------------------------------

    async def open(self, principal: Principal, request: ChatRequest) -> OpenSession:
        if request.session_id is None:
            session = _start(principal, os.urandom(16).hex())
        else:
            session = await self._reopen(principal, request, request.session_id)
        if request.user_profile is not None:
            session.user_profile = request.user_profile
            session.profile_given = True
        return session

    async def _reopen(self, principal: Principal, request: ChatRequest, session_id: str) -> OpenSession:
        try:
            home, record = await self._find(principal, session_id, self._ttl(principal.tenant_id))
        except SessionNotFound:
            if not request.create_session or not SESSION_ID.match(session_id):
                raise
            return _start(principal, session_id)
        return OpenSession(
            id=session_id,
            home=home,
            key_home=_key_home(principal, home),
            created=False,
            answerer=record.answerer,
            version=record.version,
            history=record.messages,
            user_profile=record.user_profile,
        )

    def window(self, session: OpenSession | None, messages: Sequence[Message], instance: Instance) -> Messages:
        history: Sequence[Message] = session.history if session is not None else ()
        profile = session.user_profile if session is not None else {}
        return context.window(history, messages, profile, instance.context_window)

    def needs(self, session: OpenSession | None, messages: Sequence[Message]) -> int:
        history: Sequence[Message] = session.history if session is not None else ()
        return context.fixed_tokens(history, messages, session.user_profile if session is not None else {})

    async def append(
        self, session: OpenSession, messages: Sequence[Message], answerer: Answerer | None, turn_id: str = ""
    ) -> None:
        """A session that was deleted while the turn ran stays deleted. Without `turn_id` no repetition is noticed. Of
        racing turns the last one's answerer stays, and each change of the model between them is noted."""
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
        ttl = self._ttl(home.tenant_id)
        connection = self._stores.tenant(home.tenant_id)
        if session.key_home is not None:
            connection.send("SET", session.key_home.owner(session.id), home.user, "PX", ttl)
        keys = [*home.keys(session.id), home.index]
        about = (session.id, turn, ttl, int(session.created), turn_id, answerer.model if answerer is not None else "")
        if not await connection.run(APPEND, keys, *about, *fields):
            log.info("session %s was deleted while a turn ran: the turn is not kept", session.id)

    async def close(self, session: OpenSession) -> None:
        """Nothing is held between opening and appending."""

    # What people do --------------------------------------------------------------------------------------------------

    async def list(self, principal: Principal, limit: int = 50, cursor: str | None = None) -> Json:
        """`{sessions, next_cursor}`: the last active first. A page may be shorter than `limit`; the last one has no
        `next_cursor`. Raises InvalidRequest for a cursor that is none."""
        if cursor is not None and not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= 20):
            raise InvalidRequest("cursor is not one of a list of sessions.", param="cursor")
        limit = max(1, min(limit, MAX_PAGE))
        home = Home(principal.tenant_id, principal.user)
        connection = self._stores.tenant(principal.tenant_id)
        below = f"({cursor}" if cursor is not None else "+inf"
        found = await connection.call(
            "ZREVRANGEBYSCORE", home.index, below, "-inf", "WITHSCORES", "LIMIT", 0, limit + 1
        )
        ids = [raw.decode() for raw in found[: 2 * limit : 2]]
        rows = await asyncio.gather(*(connection.send("HMGET", home.session(name), *ABOUT) for name in ids))
        expired = [name for name, row in zip(ids, rows, strict=True) if row[0] is None]
        if expired:
            connection.send("ZREM", home.index, *expired)
        sessions = [
            records.summary(name, records.read(name, row)) for name, row in zip(ids, rows, strict=True) if row[0]
        ]
        more = len(found) > 2 * limit
        return {"sessions": sessions, "next_cursor": str(int(float(found[2 * limit - 1]))) if more else None}

    async def read(self, principal: Principal, session_id: str) -> Json:
        """The whole session, see `records.whole`. Does not prolong its life."""
        _, record = await self._find(principal, session_id)
        return records.whole(session_id, record)

    async def patch(self, principal: Principal, session_id: str, changes: Json) -> Json:
        """Sets `user_profile` and `name` where given; answers like `read`."""
        home, _ = await self._find(principal, session_id)
        fields: list[str | bytes] = []
        if "user_profile" in changes:
            fields += ["user_profile", records.encode(changes["user_profile"] or {})]
        if "name" in changes:
            fields += ["name", changes["name"] or ""]
        connection = self._stores.tenant(principal.tenant_id)
        if fields and not await connection.run(PATCH, [home.session(session_id)], *fields):
            raise SessionNotFound
        return await self.read(principal, session_id)

    async def delete(self, principal: Principal, session_id: str) -> None:
        home, _ = await self._find(principal, session_id)
        connection = self._stores.tenant(principal.tenant_id)
        if not await connection.run(DELETE, [*home.keys(session_id), home.index], session_id):
            raise SessionNotFound

    # Where it is -----------------------------------------------------------------------------------------------------

    async def _find(self, principal: Principal, session_id: str, ttl: int = 0) -> tuple[Home, Record]:
        """The session and whose it is; with `ttl` (milliseconds) it lives that long from now on."""
        if not SESSION_ID.match(session_id):
            raise SessionNotFound
        connection = self._stores.tenant(principal.tenant_id)
        home = Home(principal.tenant_id, principal.user)
        reading = connection.run(READ, home.keys(session_id), ttl)
        owning = None
        if principal.kind == "key" and principal.user == principal.subject:
            owning = connection.send("GET", home.owner(session_id))
        found = await reading
        if found is None and owning is not None and (owner := await owning) is not None:
            home = Home(principal.tenant_id, owner.decode())
            found = await connection.run(READ, home.keys(session_id), ttl)
        if found is None:
            raise SessionNotFound
        return home, records.read(session_id, *found)

    def _ttl(self, tenant_id: int) -> int:
        view = self._tenants.value.by_id.get(tenant_id)
        return 1000 * ((view.session_ttl if view is not None else None) or self._session_ttl)


def _start(principal: Principal, session_id: str) -> OpenSession:
    home = Home(principal.tenant_id, principal.user)
    return OpenSession(id=session_id, home=home, key_home=_key_home(principal, home), created=True)


def _key_home(principal: Principal, home: Home) -> Home | None:
    if principal.kind != "key" or home.user == principal.subject:
        return None
    return Home(principal.tenant_id, principal.subject)
