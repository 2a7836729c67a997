"""Sessions for tests: one object that does what turns and people ask for."""

from __future__ import annotations

import asyncio
import time

from engine.entries import Completion, Intent, PastTurn, SessionEntry
from engine.errors import SessionBusy
from engine.turn import new_turn_id
from sessions_app.changing import SessionChanges
from sessions_app.desk import SessionDesk
from sessions_app.finding import Finder
from sessions_app.leases import Leases
from sessions_app.recovery import SessionRecovery
from sessions_app.replaying import order
from sessions_app.snapshots import SessionSnapshots
from sessions_app.store import SessionStore
from sessions_app.versions import SessionVersions
from tests.engine.journal import MemoryJournal


class Sessions(SessionStore, SessionDesk):
    """Whoever opens without a turn's id gets a new one."""

    def __init__(self, finder, journal, leases=None, past=None, every=0, archive=None):
        SessionStore.__init__(self, finder, leases)
        self.journal = journal
        self.finder = finder
        self.changes = SessionChanges(finder, journal, past)
        SessionDesk.__init__(self, finder, self.changes, archive, past)
        self.versions = SessionVersions(finder, self, self.changes, past or MemoryPast(journal))
        self.fork = self.versions.fork
        self.snapshots = SessionSnapshots(finder, self.changes, every=every)
        self.after_append = self.snapshots.after_append

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


class MemoryPast:
    """What a journal in memory knows of sessions. `asked` counts the questions."""

    def __init__(self, journal):
        self.journal = journal
        self.asked = 0

    async def events(self, tenant_id, session_id, *, user=None, key_id=None, after=0):
        self.asked += 1
        ends = {end.turn_id: end for end in self.journal.entries if isinstance(end, Completion)}
        found = [
            entry
            for entry in self.journal.entries
            if isinstance(entry, Intent | SessionEntry)
            and (entry.tenant_id, entry.session_id) == (tenant_id, session_id)
        ]
        if user is None:
            user = next((entry.user for entry in reversed(found) if entry.key_id == key_id), None)
        events = [
            _turn(entry, ends[entry.turn_id]) if isinstance(entry, Intent) else entry
            for entry in found
            if entry.user == user
            and entry.parent >= after
            and (isinstance(entry, SessionEntry) or _completed(ends.get(entry.turn_id)))
        ]
        return sorted(events, key=order)

    async def seen(self, names):
        return {(each.tenant_id, each.session_id) for each in self.journal.entries} & set(names)

    async def known(self, tenant_id, user):
        self.asked += 1
        found = {}
        for entry in self.journal.entries:
            if isinstance(entry, Intent | SessionEntry) and (entry.tenant_id, entry.user) == (tenant_id, user):
                if isinstance(entry, SessionEntry) and entry.action in ("deleted", "expired"):
                    found.pop(entry.session_id, None)
                elif isinstance(entry, Intent) and entry.session_id or getattr(entry, "action", "") == "branched":
                    found[entry.session_id] = entry.at
        return list(found.items())


def _completed(end):
    return end is not None and end.state == "completed" and end.choices


def _turn(intent, completion):
    return PastTurn(
        turn_id=intent.turn_id,
        at=completion.at,
        parent=intent.parent,
        user=intent.user,
        said=[*(message for message in intent.messages if not message.passing), completion.choices[0].message],
        profile=intent.profile,
        answerer=completion.answerer,
    )


def sessions(stores, tenants, journal=None, past=None, every=0, archive=None, **settings):
    """Turns wait for each other at most two seconds."""
    recovery = SessionRecovery(stores, past, archive=archive) if past is not None else None
    finder = Finder(stores, tenants, **{"session_ttl": 3600, "recovery": recovery, **settings})
    return Sessions(finder, journal or MemoryJournal(), Leases(stores, patience=2.0), past, every, archive)
