"""Sessions for tests: one object that does what turns and people ask for."""

from __future__ import annotations

import asyncio
import time

from engine.errors import SessionBusy
from engine.turn import new_turn_id
from sessions_app.desk import SessionDesk
from sessions_app.finding import Finder
from sessions_app.leases import Leases
from sessions_app.store import SessionStore


class Sessions(SessionStore, SessionDesk):
    """Whoever opens without a turn's id gets a new one."""

    async def open(self, principal, request, turn_id=None):
        return await super().open(principal, request, new_turn_id(time.time()) if turn_id is None else turn_id)

    async def append(self, session, messages, answerer, turn_id=None):
        await super().append(session, messages, answerer, turn_id or session.lease.turn_id)


async def patiently(turn):
    """Makes the turn again until the session has room for it."""
    while True:
        try:
            return await turn()
        except SessionBusy:
            await asyncio.sleep(0.01)


def sessions(stores, tenants, **settings):
    """Turns wait for each other at most two seconds."""
    finder = Finder(stores, tenants, **{"session_ttl": 3600, **settings})
    return Sessions(finder, Leases(stores, patience=2.0))
