"""What people do with their sessions: list, read, name, describe, delete."""

from __future__ import annotations

import logging

from engine.errors import StoreUnavailable
from engine.ports import SessionPast
from engine.types import Json, Principal
from sessions_app import patches, records
from sessions_app.changing import SessionChanges
from sessions_app.finding import Finder
from sessions_app.listing import ArchivedPages, NoPages, SessionListing

log = logging.getLogger(__name__)


class SessionDesk:
    """For whom a session is not, it does not exist: SessionNotFound."""

    def __init__(
        self,
        finder: Finder,
        changes: SessionChanges,
        archive: ArchivedPages | None = None,
        past: SessionPast | None = None,
    ) -> None:
        self._finder = finder
        self._changes = changes
        self._archive = archive or NoPages()
        self._listing = SessionListing(finder, self._archive, past)

    async def list(self, principal: Principal, limit: int = 50, cursor: str | None = None) -> Json:
        """See `listing.SessionListing.page`."""
        return await self._listing.page(principal, limit, cursor)

    async def read(self, principal: Principal, session_id: str) -> Json:
        """The whole session, see `records.whole`. Does not prolong its life."""
        _, record = await self._finder.find(principal, session_id)
        return records.whole(session_id, record)

    async def patch(self, principal: Principal, session_id: str, changes: Json) -> Json:
        """Sets `user_profile`, `name` and `pinned` where given; answers like `read`. Raises AuditUnavailable too: then
        nothing was changed."""
        home, record = await self._finder.find(principal, session_id)
        detail = patches.detail(record, changes)
        if detail:
            record = await self._changes.make(principal, home, session_id, record, action="patched", detail=detail)
        return records.whole(session_id, record)

    async def delete(self, principal: Principal, session_id: str) -> None:
        """Raises AuditUnavailable too: then it is still there."""
        home, record = await self._finder.find(principal, session_id)
        await self._changes.delete(principal, home, session_id, record)
        try:
            await self._archive.forget(home, session_id)
        except StoreUnavailable:  # it is deleted, whatever is left of it there
            log.warning("the archived form of session %s stays for now", session_id)
