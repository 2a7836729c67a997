import asyncio
import math
import time
from datetime import UTC, datetime
from types import SimpleNamespace

import msgspec
import pytest
from django.conf import settings
from django.utils import timezone
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from access.authentication import Authenticator, require_area, require_scope, role_of, with_user
from engine.errors import Forbidden, IpNotAllowed, OriginNotAllowed, StoreUnavailable, TenantSuspended, Unauthenticated
from engine.snapshots import Cell
from tenants import keys
from tenants.credentials import Credentials, read_members
from tenants.directory import compile_tenants
from tenants.live import LiveConfig
from tenants.models import ApiKey, ChatSite, IpRule, Tenant
from tenants.origins import Origins
from tenants.proxies import TrustedProxies
from tenants.tokens import TokenVerifier
from tenants.visitor_tickets import VisitorTickets
from tests.cast import ALICE, BOB, CHARLIE

PEER = "203.0.113.7"
PROXY = "10.0.0.1"
AWAY = "unix:///nonexistent/valkey.sock"
STAMPS = {}  # by people's ids, what their tokens carry


@pytest.fixture
def gate(transactional_db, cast):
    """The authenticator and the moving parts behind it; `gate.look()` is what the live thread does each second."""
    credentials, tenants, live = Credentials(), Cell(compile_tenants()), LiveConfig(AWAY)
    credentials.register(live)
    live.register("tenants", compile_tenants, tenants.swap)
    live.load()
    credentials.start()
    STAMPS.update((member.user_id, member.stamp) for member in read_members([ALICE.id, BOB.id, CHARLIE.id]).values())
    now = [time.time()]
    authenticator = Authenticator(
        credentials,
        TokenVerifier(settings.SIMPLE_JWT),
        tenants,
        TrustedProxies(["10.0.0.0/8"]),
        tickets=VisitorTickets(settings.SIMPLE_JWT),
        origins=Origins(tenants),
        clock=lambda: now[0],
    )
    yield SimpleNamespace(
        authenticate=authenticator.authenticate,
        cached=authenticator.cached,
        changes=authenticator.changes,
        expires_at=authenticator.expires_at,
        look=lambda: asyncio.to_thread(live.look),
        now=now,
    )
    credentials.stop()


def bearer(text):
    return [(b"host", b"x"), (b"authorization", f"Bearer {text}".encode())]


def api_key(text):
    return [(b"x-api-key", text.encode())]


def token(person, kind=AccessToken, **claims):
    made = kind()
    usual = {"member": person.id, "tenant": person.company.slug, "role": person.role}
    usual["stamp"] = STAMPS.get(person.id, "")
    for name, value in (usual | claims).items():
        made[name] = value
    return str(made)


async def refused(gate, headers, error=Unauthenticated, peer=PEER):
    with pytest.raises(error) as caught:
        await gate.authenticate(headers, peer)
    assert type(caught.value) is error


@pytest.mark.parametrize("headers", [bearer, api_key])
async def test_it_knows_a_key_by_either_header(gate, headers):
    assert await gate.authenticate(headers(ALICE.key), PEER) == ALICE.key_principal
    assert gate.cached(headers(ALICE.key), PEER) == ALICE.key_principal


async def test_it_knows_a_member_by_their_token(gate):
    principal = await gate.authenticate(bearer(token(BOB)), PEER)
    assert principal == BOB.principal
    assert gate.cached(bearer(token(BOB)), PEER) == BOB.principal


async def test_it_gives_a_member_the_role_of_today_not_of_the_token(gate, cast):
    await gate.authenticate(bearer(token(BOB)), PEER)
    cast.bob.role = "admin"
    await cast.bob.asave()
    await gate.look()
    principal = await gate.authenticate(bearer(token(BOB, role="member")), PEER)
    assert principal.role == "admin"
    assert "manage" in principal.scopes


async def test_a_token_ends_with_the_password_and_with_signing_out_everywhere(gate, cast):
    old = bearer(token(BOB))
    await gate.authenticate(old, PEER)
    await refused(gate, bearer(token(BOB, stamp="")))
    cast.bob.user.signed_out_at = timezone.now()
    await cast.bob.user.asave()
    await gate.look()
    await refused(gate, old)
    STAMPS.update((each.user_id, each.stamp) for each in (await asyncio.to_thread(read_members, [BOB.id])).values())
    between = bearer(token(BOB))
    await gate.authenticate(between, PEER)
    cast.bob.user.set_password("another long password")
    await cast.bob.user.asave()
    await gate.look()
    await refused(gate, between)


async def test_it_asks_the_database_only_when_memory_does_not_know(gate):
    assert gate.cached(bearer(ALICE.key), PEER) is None
    assert gate.cached(bearer(token(ALICE)), PEER) is None


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"")],
        [(b"authorization", b"Bearer")],
        [(b"authorization", b"Bearer ")],
        [(b"authorization", b"Basic YTpi")],
        [(b"authorization", ALICE.key.encode())],
        [(b"x_api_key", ALICE.key.encode())],
        [(b"x-api-key", b"sk-something")],
        [(b"x-api-key", b"\xff\xfe")],
        bearer(ALICE.key[:-1]),
        bearer(ALICE.key + "a"),
        bearer(ALICE.digest),
        bearer(keys.from_digits("z" * 43)),
        api_key(ALICE.key) * 2,
        bearer(ALICE.key) * 2,
        bearer("a.b.c"),
        bearer("cb_\x00"),
    ],
    ids=ascii,
)
async def test_it_refuses_what_is_no_credential_of_ours(gate, headers):
    await refused(gate, headers)


async def test_it_ignores_the_case_of_the_scheme_and_space_around_the_key(gate):
    assert await gate.authenticate([(b"authorization", f"bEARER  {ALICE.key} ".encode())], PEER)


async def test_it_takes_the_key_when_an_sdk_sends_a_dummy_bearer_token_as_well(gate):
    assert await gate.authenticate(bearer("unused") + api_key(BOB.key), PEER) == BOB.key_principal
    assert await gate.authenticate(bearer(ALICE.key) + api_key(CHARLIE.key), PEER) == CHARLIE.key_principal


async def test_it_never_takes_a_refresh_token_nor_a_token_of_another_tenant(gate):
    await refused(gate, bearer(token(ALICE, kind=RefreshToken)))
    await refused(gate, bearer(token(CHARLIE, tenant="acme")))


async def test_it_refuses_a_key_from_the_second_it_expires(gate, cast):
    gate.now[0] = float(int(gate.now[0]))  # a row keeps microseconds, rounded
    cast.alice_key.expires_at = time_of(gate.now[0] + 60)
    await cast.alice_key.asave()
    assert await gate.authenticate(bearer(ALICE.key), PEER)
    gate.now[0] += 60
    await refused(gate, bearer(ALICE.key))


def time_of(seconds):
    return datetime.fromtimestamp(seconds, UTC)


async def test_it_refuses_a_revoked_key_and_a_removed_member_after_the_change_is_live(gate, cast):
    for headers in (bearer(ALICE.key), bearer(token(ALICE))):
        await gate.authenticate(headers, PEER)
    cast.alice_key.revoked_at = time_of(gate.now[0])
    await cast.alice_key.asave()
    await asyncio.to_thread(cast.alice.delete)
    await gate.look()
    for headers in (bearer(ALICE.key), bearer(token(ALICE))):
        await refused(gate, headers)
    assert await gate.authenticate(bearer(BOB.key), PEER)


async def test_it_says_when_a_credential_ends_by_itself(gate, cast):
    assert gate.expires_at(bearer(ALICE.key)) == math.inf
    cast.bob_key.expires_at = time_of(2_000_000_000)
    await cast.bob_key.asave()
    await gate.authenticate(bearer(BOB.key), PEER)
    assert gate.expires_at(bearer(BOB.key)) == gate.expires_at(api_key(BOB.key)) == 2_000_000_000
    assert 0 < gate.expires_at(bearer(token(ALICE))) - gate.now[0] < 86_400
    given = ticket()
    assert gate.now[0] < gate.expires_at(bearer(given)) <= time.time() + 60


async def test_it_says_that_a_credential_may_mean_something_else(gate, cast):
    await gate.authenticate(bearer(ALICE.key), PEER)
    before = gate.changes()
    await gate.look()
    assert gate.changes() == before
    for change in (cast.alice_key, cast.alice, cast.acme):
        await change.asave()
        await gate.look()
        assert gate.changes() > before
        before = gate.changes()


async def test_it_refuses_everybody_of_a_suspended_tenant_and_nobody_else(gate, cast):
    cast.acme.is_active = False
    await cast.acme.asave()
    await gate.look()
    for headers in (bearer(ALICE.key), bearer(token(BOB))):
        await refused(gate, headers, TenantSuspended)
    assert await gate.authenticate(bearer(CHARLIE.key), PEER)


async def test_it_asks_to_come_again_for_a_tenant_that_is_not_live_yet(gate):
    tenant = await Tenant.objects.acreate(slug="initech", name="Initech", store_database=40)
    key = keys.new_key()
    await ApiKey.objects.acreate(tenant=tenant, name="first", digest=keys.digest(key), hint="cb_")
    await refused(gate, bearer(key), StoreUnavailable)
    await gate.look()
    assert (await gate.authenticate(bearer(key), PEER)).tenant == "initech"


async def allow(gate, tenant, *networks):
    for network in networks:
        await IpRule.objects.acreate(tenant=tenant, network=network)
    await gate.look()


async def test_it_lets_a_tenant_in_only_from_its_networks(gate, cast):
    await allow(gate, cast.acme, "203.0.113.0/24", "2001:db8::/32")
    for peer in (PEER, f"::ffff:{PEER}", "2001:db8::1"):
        assert await gate.authenticate(bearer(ALICE.key), peer)
    for peer in ("198.51.100.1", "2001:db9::1", "::ffff:198.51.100.1", None, "", "garbage"):
        await refused(gate, bearer(ALICE.key), IpNotAllowed, peer)
        await refused(gate, bearer(token(BOB)), IpNotAllowed, peer)
        assert await gate.authenticate(bearer(CHARLIE.key), peer)


async def test_it_believes_forwarded_headers_only_of_a_trusted_proxy(gate, cast):
    await allow(gate, cast.acme, f"{PEER}/32")
    forged = [*bearer(ALICE.key), (b"x-forwarded-for", PEER.encode())]
    assert await gate.authenticate(forged, PROXY)
    await refused(gate, forged, IpNotAllowed, "198.51.100.1")
    behind = [*bearer(ALICE.key), (b"x-forwarded-for", f"{PEER}, 198.51.100.1".encode())]
    await refused(gate, behind, IpNotAllowed, PROXY)
    garbage = [*bearer(ALICE.key), (b"x-forwarded-for", f"{PEER}, unknown".encode())]
    await refused(gate, garbage, IpNotAllowed, PROXY)
    underscored = [*bearer(ALICE.key), (b"x_forwarded_for", PEER.encode())]
    await refused(gate, underscored, IpNotAllowed, PROXY)


async def test_it_says_nothing_about_addresses_to_who_has_no_good_credential(gate, cast):
    await allow(gate, cast.acme, "203.0.113.0/24")
    await refused(gate, bearer(keys.new_key()), Unauthenticated, "198.51.100.1")


def test_it_namespaces_the_users_of_a_key_and_leaves_a_member_themselves():
    assert with_user(ALICE.key_principal, None) == ALICE.key_principal
    assert with_user(ALICE.key_principal, "").user == "key:1"
    assert with_user(ALICE.key_principal, "2").user == "key:1:2"
    assert with_user(BOB.key_principal, "2").user != with_user(ALICE.key_principal, "2").user
    assert with_user(ALICE.principal, "bob") == ALICE.principal


def test_it_demands_a_scope():
    require_scope(ALICE.key_principal, "chat")
    with pytest.raises(Forbidden, match="audit"):
        require_scope(ALICE.key_principal, "audit")


def test_a_key_acts_as_its_scopes_say_and_a_member_as_their_role():
    key = msgspec.structs.replace(ALICE.key_principal, scopes=frozenset({"audit", "chat"}))
    assert (role_of(key), role_of(ALICE.key_principal), role_of(ALICE.principal)) == ("auditor", "member", "owner")
    require_area(key, "journal", "read")
    for principal, area, access in ((key, "journal", "change"), (BOB.principal, "keys", "read")):
        with pytest.raises(Forbidden, match=area):
            require_area(principal, area, access)


# Visitors ----------------------------------------------------------------------------------------------------------

TICKETS = VisitorTickets(settings.SIMPLE_JWT)


def ticket(visitor="anon-1", tenant="acme", **more):
    return TICKETS.issue(tenant=tenant, visitor=visitor, life=60, **more)


def opened(company, visitors="anyone", **more):
    return ChatSite.objects.create(tenant=company, visitors=visitors, **more)


async def test_it_knows_a_visitor_by_their_ticket_from_memory(gate, cast):
    await asyncio.to_thread(opened, cast.acme)
    await gate.look()
    for found in (await gate.authenticate(bearer(ticket()), PEER), gate.cached(bearer(ticket()), PEER)):
        assert (found.kind, found.tenant, found.subject, found.user) == ("visitor", "acme", *["visitor:anon-1"] * 2)
        assert (found.scopes, found.member_id, found.key_id, found.address) == ({"visit"}, None, None, PEER)
        with pytest.raises(Forbidden):
            require_scope(found, "chat", "sessions", "audit", "manage")
    assert with_user(found, "somebody else") == found


@pytest.mark.parametrize(("mode", "unsigned", "signed"), [("anyone", 1, 1), ("signed", 0, 1), ("off", 0, 0)])
async def test_it_takes_those_the_tenant_takes(gate, cast, mode, unsigned, signed):
    await asyncio.to_thread(opened, cast.acme, mode)
    await gate.look()
    for given, taken in ((ticket(), unsigned), (ticket("ann", signed=True), signed)):
        if taken:
            assert (await gate.authenticate(bearer(given), PEER)).kind == "visitor"
        else:
            await refused(gate, bearer(given))


async def test_a_ticket_ends_with_the_tenants_wish_and_with_the_tenant(gate, cast):
    site = await asyncio.to_thread(opened, cast.acme)
    await gate.look()
    await gate.authenticate(bearer(ticket()), PEER)
    cast.acme.is_active = False
    await cast.acme.asave()
    await gate.look()
    await refused(gate, bearer(ticket()), TenantSuspended)
    cast.acme.is_active = True
    await cast.acme.asave()
    site.visitors = "off"
    await site.asave()
    await gate.look()
    await refused(gate, bearer(ticket()))


async def test_a_ticket_opens_no_other_tenant(gate, cast):
    await asyncio.to_thread(opened, cast.acme)
    await gate.look()
    for slug in ("globex", "nobody", ""):
        await refused(gate, bearer(ticket(tenant=slug)))


async def test_a_ticket_is_no_key_and_no_token_a_ticket(gate, cast):
    await asyncio.to_thread(opened, cast.acme)
    await gate.look()
    await refused(gate, api_key(ticket()))
    await refused(gate, bearer(ticket().removeprefix("cv_")))
    await refused(gate, bearer("cv_" + token(ALICE)))
    await refused(gate, bearer("cv_"))


async def test_a_visitor_comes_from_a_page_the_tenant_allows(gate, cast):
    await asyncio.to_thread(opened, cast.acme, origins=["https://acme.example"])
    await asyncio.to_thread(opened, cast.globex, origins=["https://globex.example"])
    await gate.look()
    for origin in (b"https://acme.example", b"https://x"):  # bearer() names the host x
        await gate.authenticate([*bearer(ticket()), (b"origin", origin)], PEER)
    for origin in (b"https://globex.example", b"https://evil.example", b"null", b"\xff"):
        await refused(gate, [*bearer(ticket()), (b"origin", origin)], OriginNotAllowed)
    await gate.authenticate([*bearer(token(BOB)), (b"origin", b"https://evil.example")], PEER)


async def test_a_visitor_comes_from_an_address_the_tenant_allows(gate, cast):
    await asyncio.to_thread(opened, cast.acme)
    await IpRule.objects.acreate(tenant=cast.acme, network="198.51.100.0/24")
    await gate.look()
    await refused(gate, bearer(ticket()), IpNotAllowed)
    forwarded = [*bearer(ticket()), (b"x-forwarded-for", b"198.51.100.9")]
    assert (await gate.authenticate(forwarded, PROXY)).address == "198.51.100.9"


async def test_all_of_a_network_of_a_host_count_as_one_address(gate, cast):
    await asyncio.to_thread(opened, cast.acme)
    await gate.look()
    places = {(await gate.authenticate(bearer(ticket()), f"2001:db8:1:2::{host}")).address for host in (1, 2, 3)}
    assert places == {"2001:db8:1:2::/64"}
    assert (await gate.authenticate(bearer(ticket()), None)).address == ""
