"""Sessions for tests: one object that does what turns and people ask for."""

from __future__ import annotations

from engine.entries import Completion, Intent, PastTurn, SessionEntry
from sessions_app.changing import SessionChanges
from sessions_app.desk import SessionDesk
from sessions_app.finding import Finder
from sessions_app.recovery import SessionRecovery
from sessions_app.replaying import order
from sessions_app.store import SessionStore
from tests.engine.journal import MemoryJournal


class Sessions(SessionStore, SessionDesk):
    def __init__(self, finder, journal):
        SessionStore.__init__(self, finder)
        self.changes = SessionChanges(finder, journal)
        SessionDesk.__init__(self, finder, self.changes)


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
            and (isinstance(entry, SessionEntry) or (entry.turn_id in ends and ends[entry.turn_id].choices))
        ]
        return sorted(events, key=order)


def _turn(intent, completion):
    return PastTurn(
        turn_id=intent.turn_id,
        at=completion.at,
        parent=intent.parent,
        user=intent.user,
        said=[*intent.messages, completion.choices[0].message],
        profile=intent.profile,
        answerer=completion.answerer,
    )


def sessions(stores, tenants, journal=None, past=None, **settings):
    recovery = SessionRecovery(stores, past) if past is not None else None
    finder = Finder(stores, tenants, **{"session_ttl": 3600, "recovery": recovery, **settings})
    return Sessions(finder, journal or MemoryJournal())
