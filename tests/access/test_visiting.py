"""Tickets for visitors, through the whole gateway around small parts."""

import json

import msgspec
import pytest

from access.management.visitors import ChatSiteAnswer
from access.turns import RunningTurns
from access.visiting import Ticket
from engine.snapshots import Cell
from engine.types import Principal
from tenants.directory import SiteView, TenantTable
from tests.access.asgi_client import Client
from tests.access.parts import VISITOR_TICKETS, build
from tests.access.test_openapi import strict
from tests.cast import ACME, ALICE, GLOBEX
from tests.engine.parts import ScriptedModel

ACMES, GLOBEXS = "https://acme.example", "https://globex.example"
MANAGER = "cb_manager"


def table(acme="anyone", globex="anyone", **views):
    acmes = SiteView(name="Acme help", greeting="Hi", visitors=acme, origins=frozenset({ACMES}), ticket_life=600)
    globexs = SiteView(visitors=globex, origins=frozenset({GLOBEXS}))
    found = [ACME.view(site=acmes, **views), GLOBEX.view(site=globexs)]
    return TenantTable(
        {view.id: view for view in found}, {view.slug: view for view in found}, frozenset({ACMES, GLOBEXS})
    )


@pytest.fixture
def tenants():
    return Cell(table())


@pytest.fixture
def site(tenants):
    site = build(ScriptedModel(["Hello"]), tenants=tenants)
    site.keys.people[MANAGER] = Principal(
        tenant_id=1, tenant="acme", kind="key", subject="key:8", user="key:8", scopes=frozenset({"manage"})
    )
    return site


async def come(site, origin=None, **body):
    headers = {"host": "here.example", **({"origin": origin} if origin is not None else {})}
    return await Client(site.app, headers).post("/api/visitors", {"tenant": "acme", **body})


def code(answer):
    return answer.status, answer.json["error"]["code"]


async def test_it_gives_anybody_a_ticket_of_their_own(site):
    answers = [await come(site) for _ in range(2)]
    for answer in answers:
        assert (answer.status, answer.headers["cache-control"]) == (201, "no-store")
        strict(Ticket, answer.json)
        found = VISITOR_TICKETS.verify(answer.json["token"])
        assert (found.tenant, found.visitor, found.signed) == ("acme", answer.json["visitor"], False)
        assert answer.json["visitor"].startswith("anon-") and answer.json["expires_in"] == 600
    assert answers[0].json["visitor"] != answers[1].json["visitor"]


async def test_an_earlier_ticket_keeps_the_visitor(site):
    first = (await come(site)).json
    again = (await come(site, previous=first["token"])).json
    assert again["visitor"] == first["visitor"]


@pytest.mark.parametrize("kind", ["another tenant's", "signed", "forged", "a member's", "empty", "a key"])
async def test_no_other_ticket_does(site, kind):
    theirs = {
        "another tenant's": VISITOR_TICKETS.issue(tenant="globex", visitor="anon-x", life=60),
        "signed": VISITOR_TICKETS.issue(tenant="acme", visitor="anon-x", life=60, signed=True),
        "forged": VISITOR_TICKETS.issue(tenant="acme", visitor="anon-x", life=60)[:-3] + "abc",
        "a member's": "eyJhbGciOiJub25lIn0.e30.",
        "empty": "",
        "a key": ALICE.key,
    }
    answer = await come(site, previous=theirs[kind])
    assert answer.status == 201 and answer.json["visitor"] != "anon-x"


async def test_an_unknown_tenant_and_one_without_visitors_are_the_same(site, tenants):
    tenants.swap(table(acme="off", globex="signed"))
    unlike = {"request_id": None}
    told = []
    for slug in ("acme", "globex", "nobody", "Ünknown"):
        for origin in (None, ACMES, "https://evil.example"):
            answer = await come(site, origin, tenant=slug)
            assert code(answer) == (403, "visitors_off")
            told.append(json.dumps(answer.json["error"] | unlike))
    assert len(set(told)) == 1
    tenants.swap(table(is_active=False))
    assert code(await come(site)) == (403, "visitors_off")


async def test_a_page_must_be_ours_or_the_tenants(site):
    for origin in (None, ACMES, "https://here.example"):
        assert (await come(site, origin)).status == 201
    for origin in (GLOBEXS, "https://evil.example", "null"):
        assert code(await come(site, origin)) == (403, "origin_not_allowed")


async def test_who_comes_too_often_waits(site):
    site.tickets.verdict = 12_345
    answer = await come(site)
    assert (*code(answer), answer.headers["retry-after"]) == (429, "rate_limited", "13")


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", {"tenant": ""}, {"tenant": 1}, {"tenant": "x" * 64}, {"tenant": "acme", "previous": 1},
     {"tenant": "acme", "previous": "x" * 3000}, {"tenant": "acme", "visitor": "me"}],
)  # fmt: skip
async def test_it_refuses_what_is_no_question(site, body):
    answer = await site.stranger.post("/api/visitors", body)
    assert code(answer) == (400, "invalid_request")


async def test_a_tenant_vouches_for_its_own_people(site, tenants):
    body = {"visitor": "ann@acme.example", "name": "Ann", "expires_in": 90}
    for mode in ("signed", "anyone"):
        tenants.swap(table(acme=mode))
        answer = await site.client(MANAGER).post("/api/visitor-tickets", body)
        assert answer.status == 201
        strict(Ticket, answer.json)
        found = VISITOR_TICKETS.verify(answer.json["token"])
        assert (found.tenant, found.visitor, found.signed, found.name) == ("acme", "ann@acme.example", True, "Ann")
        assert answer.json["expires_in"] == 90
    tenants.swap(table(acme="off"))
    assert code(await site.client(MANAGER).post("/api/visitor-tickets", body)) == (403, "visitors_off")


async def test_only_who_manages_does(site):
    for client, status in ((site.stranger, 401), (site.alice, 403)):
        assert (await client.post("/api/visitor-tickets", {"visitor": "ann"})).status == status


@pytest.mark.parametrize(
    "fields",
    [{"visitor": ""}, {"visitor": "anon-1"}, {"visitor": "a b"}, {"visitor": "a:b"}, {"visitor": "-a"},
     {"visitor": "a\n"}, {"visitor": "x" * 121}, {"expires_in": 59}, {"expires_in": 86_401}, {"expires_in": 60.5},
     {"name": "x" * 101}, {"tenant": "globex"}],
)  # fmt: skip
async def test_it_vouches_for_no_nonsense(site, fields):
    answer = await site.client(MANAGER).post("/api/visitor-tickets", {"visitor": "ann", **fields})
    assert code(answer) == (400, "invalid_request")


async def test_it_tells_what_a_chat_looks_like_and_not_whether_there_is_one(site):
    known = (await site.stranger.get("/api/chat-site?tenant=acme")).json
    strict(ChatSiteAnswer, known)
    assert (known["name"], known["greeting"], known["visitors"]) == ("Acme help", "Hi", True)
    plain = (await site.stranger.get("/api/chat-site?tenant=nobody")).json
    assert plain == {**msgspec.to_builtins(ChatSiteAnswer("nobody", "Clawdbot", "", plain["colors"], False))}
    for query in ("", "?tenant=", "?tenant=" + "x" * 64):
        assert (await site.stranger.get(f"/api/chat-site{query}")).status == 400


async def test_it_ends_the_turns_of_those_who_are_not_taken_any_more(site, tenants):
    def principal(user, kind="visitor", tenant="acme"):
        return Principal(tenant_id=1, tenant=tenant, kind=kind, subject=user, user=user)

    anybody, signed, member = principal("visitor:anon-1"), principal("visitor:ann"), principal("1", "member")
    over = site.parts.visiting.over
    for mode, ended in (("anyone", []), ("signed", [anybody]), ("off", [anybody, signed])):
        tenants.swap(table(acme=mode))
        assert [who for who in (anybody, signed, member) if over(who)] == ended
    tenants.swap(table(is_active=False))
    assert over(anybody) and over(signed) and not over(member)
    assert over(principal("visitor:ann", tenant="nobody"))
    turns = RunningTurns()
    kept, gone = turns.running(member), turns.running(anybody)
    for number, turn in enumerate((kept, gone)):
        turn.started(str(number))
    turns.end(over)
    assert (kept._cancelled, gone._cancelled) == (False, True)
