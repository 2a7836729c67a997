"""Sessions in Valkey: implements `engine.ports.Sessions` for turns.

A turn costs two round trips, one to open and one to append. A session belongs to a user (`Principal.user`) in a
tenant's own database; for anybody else it does not exist. The exception is an API key: it may name any user of its own
in a chat, so the key itself, naming nobody, reaches the sessions of all of them by their id."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.types import Answerer, ChatRequest, Instance, Json, Message, Principal
from sessions_app import context, records
from sessions_app.finding import SESSION_ID, Finder, NoSession
from sessions_app.layout import APPEND, Home

log = logging.getLogger(__name__)


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

    @property
    def profile_brought(self) -> Json | None:
        return self.user_profile if self.profile_given else None


class SessionStore:
    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        self._stores = finder.stores

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
            home, record = await self._finder.find(principal, session_id, self._finder.ttl(principal.tenant_id))
        except NoSession as missing:
            if not request.create_session or not SESSION_ID.match(session_id):
                raise
            return _start(principal, session_id, missing.version)
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

    def window(self, session: OpenSession | None, messages: Sequence[Message], instance: Instance) -> list[Message]:
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
        ttl = self._finder.ttl(home.tenant_id)
        connection = self._stores.tenant(home.tenant_id)
        if session.key_home is not None:
            connection.send("SET", session.key_home.owner(session.id), home.user, "PX", ttl)
        keys = [*home.keys(session.id), home.index]
        about = (session.id, turn, ttl, int(session.created), turn_id, answerer.model if answerer is not None else "")
        if not await connection.run(APPEND, keys, *about, *fields):
            log.info("session %s was deleted while a turn ran: the turn is not kept", session.id)

    async def close(self, session: OpenSession) -> None:
        """Nothing is held between opening and appending."""


def _start(principal: Principal, session_id: str, version: int = 0) -> OpenSession:
    home = Home(principal.tenant_id, principal.user)
    return OpenSession(id=session_id, home=home, key_home=_key_home(principal, home), created=True, version=version)


def _key_home(principal: Principal, home: Home) -> Home | None:
    if principal.kind != "key" or home.user == principal.subject:
        return None
    return Home(principal.tenant_id, principal.subject)
