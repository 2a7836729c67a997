"""Sessions for tests: one object that does what turns and people ask for."""

from __future__ import annotations

from sessions_app.desk import SessionDesk
from sessions_app.finding import Finder
from sessions_app.store import SessionStore


class Sessions(SessionStore, SessionDesk):
    pass


def sessions(stores, tenants, **settings):
    return Sessions(Finder(stores, tenants, **{"session_ttl": 3600, **settings}))
