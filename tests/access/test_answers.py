"""`/api/cache`: a tenant forgets its kept answers, and nobody else's."""

import msgspec

from engine.types import CachePolicy
from tests.access.parts import build
from tests.cast import ALICE, CHARLIE
from tests.conformance.edges import HI

ASKED = {"messages": HI, "temperature": 0}


def manager_of(site, person):
    principal = site.keys.people[person.key]
    site.keys.people[person.key] = msgspec.structs.replace(principal, scopes=principal.scopes | {"manage"})
    return site.client(person.key)


async def test_it_forgets_the_callers_tenants_answers_only():
    site = build()
    site.behind.answers.chosen = CachePolicy(ttl=60)
    for person in (ALICE, CHARLIE):
        await site.client(person.key).post("/api/chat", ASKED)
    assert len(site.behind.answers.kept) == 2
    charlie = manager_of(site, CHARLIE)
    for path in ("/api/cache", "/api/cache/"):
        answer = await charlie.request("DELETE", path)
        assert (answer.status, answer.body) == (204, b"")
    assert {tenant_id for tenant_id, _ in site.behind.answers.kept} == {ALICE.company.id}
    assert (await site.alice.post("/api/chat", ASKED)).headers["x-clawdbot-cache"] == "hit"
    assert (await manager_of(site, ALICE).request("DELETE", "/api/cache")).status == 204
    assert "x-clawdbot-cache" not in (await site.alice.post("/api/chat", ASKED)).headers


async def test_it_is_for_who_manages_the_tenant():
    site = build()
    refused = await site.alice.request("DELETE", "/api/cache")
    assert (refused.status, refused.json["error"]["code"]) == (403, "forbidden")
    assert (await site.stranger.request("DELETE", "/api/cache")).status == 401
    assert (await manager_of(site, ALICE).get("/api/cache")).status == 405
