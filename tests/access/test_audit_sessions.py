"""`/api/audit/sessions`: who may read what was done to sessions, by which filters."""

from __future__ import annotations

import msgspec

from access.management.audit_sessions import SessionChangeLines
from compliance.sealing.splitting import session_row
from engine.entries import SessionEntry
from tests.access.recorded import write
from tests.access.test_audit import START, refused, site

__all__ = ["site"]


def session_change(number: int, tenant_id: int = 1, **fields: object) -> SessionEntry:
    given = {"subject": "key:7", "user": "key:7:ann", "key_id": 7, "action": "patched", "session_id": "s9"}
    turn_id = f"{int((START + number) * 1000):012x}{number:020x}"
    given |= {"turn_id": turn_id, "tenant_id": tenant_id, "at": START + number, "parent": number}
    return SessionEntry(**{**given, **fields})


def in_the_clear(entry: SessionEntry) -> tuple:
    return (*session_row(entry, "w1")[:-1], msgspec.json.encode(entry))


async def test_it_lists_what_was_done_to_sessions(site):
    mine = [session_change(number, detail={"name": f"n{number}"}) for number in range(4)]
    others = [session_change(5, action="deleted", session_id="s1", user="key:7"), session_change(6, 2)]
    await site.rows(lambda: write([in_the_clear(each) for each in [*mine, *others]]))
    page = (await site.alice.get("/api/audit/sessions?limit=2")).json
    assert [(each["session"], each["action"], each["version"]) for each in page["changes"]] == [
        ("s1", "deleted", 5), ("s9", "patched", 3)
    ]  # fmt: skip
    assert page["changes"][1] == {
        "id": mine[3].turn_id, "at": START + 3, "session": "s9", "action": "patched", "version": 3, "actor": "key:7",
        "user": "key:7:ann", "key": 7, "request_id": "", "detail": {"name": "n3"}, "erased": False,
    }  # fmt: skip
    msgspec.convert(page, SessionChangeLines)

    async def versions(client, query):
        return [each["version"] for each in (await client.get(f"/api/audit/sessions?{query}")).json["changes"]]

    assert await versions(site.alice, f"before={page['next']}") == [2, 1, 0]
    assert await versions(site.alice, "session=s9&limit=200") == [3, 2, 1, 0]
    assert await versions(site.alice, "user=key:7:ann") == [3, 2, 1, 0]
    assert await versions(site.alice, "action=deleted") == [5]
    assert await versions(site.alice, f"from={START + 1}&to={START + 3}") == [2, 1]
    assert await versions(site.charlie, "") == [6] and await versions(site.charlie, "session=s1") == []
    await refused(await site.bob.get("/api/audit/sessions"), 403, "forbidden")
    for query, param in (("who=1", "who"), ("limit=0", "limit"), ("from=x", "from"), ("session=", "session")):
        error = await refused(await site.alice.get(f"/api/audit/sessions?{query}"), 400, "invalid_request")
        assert error["param"] == param
