"""`/api/sessions`: what was said, and what it was before."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import quote

from clawdbot_client.events import Json

Call = Callable[..., Awaitable[Any]]


class Sessions:
    """A place is `version=3` or `snapshot="…"`; an unknown or foreign id raises ClawdbotError `session_not_found`."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def list(self, *, limit: int | None = None, cursor: str | None = None) -> Json:
        """`{sessions, next_cursor}`, the last active first."""
        return await self._read("", {"limit": limit, "cursor": cursor})

    async def all(self) -> AsyncIterator[Json]:
        """Every session, page by page."""
        cursor: str | None = None
        while True:
            page = await self.list(cursor=cursor)
            for session in page["sessions"]:
                yield session
            cursor = page["next_cursor"]
            if cursor is None:
                return

    async def read(self, session_id: str) -> Json:
        return await self._read(_path(session_id))

    async def patch(self, session_id: str, **changes: Any) -> Json:
        """`name`, `user_profile`, `pinned`; with `if_version` only if the session is at that version."""
        body: Json = await self._call("PATCH", f"/api/sessions{_path(session_id)}", json=changes)
        return body

    async def delete(self, session_id: str) -> None:
        await self._call("DELETE", f"/api/sessions{_path(session_id)}")

    async def versions(self, session_id: str, *, limit: int | None = None, before: int | None = None) -> Json:
        return await self._read(f"{_path(session_id)}/versions", {"limit": limit, "before": before})

    async def diff(self, session_id: str, start: int | str, end: int | str | None = None) -> Json:
        """Between two versions or snapshots; without `end`: up to now."""
        return await self._read(f"{_path(session_id)}/diff", {"from": start, "to": end})

    async def snapshots(self, session_id: str, *, limit: int | None = None, cursor: str | None = None) -> Json:
        return await self._read(f"{_path(session_id)}/snapshots", {"limit": limit, "cursor": cursor})

    async def snapshot(self, session_id: str, name: str | None = None, tags: Sequence[str] | None = None) -> Json:
        """Names the version of now."""
        return await self._make(f"{_path(session_id)}/snapshots", {"name": name, "tags": tags})

    async def restore(
        self, session_id: str, *, version: int | None = None, snapshot: str | None = None, if_version: int | None = None
    ) -> Json:
        """A new version with the content of an earlier one."""
        place = {"version": version, "snapshot": snapshot, "if_version": if_version}
        return await self._make(f"{_path(session_id)}/restore", place)

    async def branch(
        self,
        session_id: str,
        *,
        version: int | None = None,
        snapshot: str | None = None,
        new_id: str | None = None,
    ) -> Json:
        """A new session with the content of a version, or that of now."""
        place = {"version": version, "snapshot": snapshot, "session_id": new_id}
        return await self._make(f"{_path(session_id)}/branch", place)

    async def _read(self, path: str, query: Json | None = None) -> Json:
        body: Json = await self._call("GET", f"/api/sessions{path}", params=_given(query or {}))
        return body

    async def _make(self, path: str, body: Json) -> Json:
        made: Json = await self._call("POST", f"/api/sessions{path}", json=_given(body))
        return made


def _path(session_id: str) -> str:
    return f"/{quote(session_id, safe='')}"


def _given(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if value is not None}
