import msgspec
import pytest

from access.management.chat_site_settings import ChatSiteBody, ChatSitePatch, ChatSiteSettingsAnswer
from tenants.models import ChatSite
from tests.access.managed import refused
from tests.cast import BOB

PATH = "/api/chat-site/settings"
USUAL = msgspec.to_builtins(ChatSiteBody())


async def test_it_shows_what_holds_before_anything_was_chosen(site):
    assert (await site.alice.get(PATH)).json == USUAL
    assert await site.rows(lambda: ChatSite.objects.everywhere().count()) == 0


async def test_it_sets_all_or_some_of_it(site):
    put = {"name": "Ask us", "visitors": "anyone", "origins": ["https://WWW.example.com"], "accent": "#ABCDEF"}
    for _ in range(2):
        answer = (await site.alice.request("PUT", PATH, put)).json
    assert answer == {**USUAL, **put, "origins": ["https://www.example.com"], "accent": "#abcdef"}
    patched = (await site.alice.request("PATCH", PATH, {"greeting": "Hi\nthere", "visitor_models": ["auto", "m"]})).json
    assert patched == {**answer, "greeting": "Hi\nthere", "visitor_models": ["m"]}
    assert (await site.alice.get(PATH)).json == patched
    assert (await site.alice.request("PUT", PATH, {})).json == USUAL
    assert (await site.charlie.get(PATH)).json == USUAL


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"accent": "red"}, "accent"),
        ({"accent": "#fff;}"}, "accent"),
        ({"origins": ["ftp://x"]}, "origins"),
        ({"origins": "https://x.com"}, "origins"),
        ({"visitors": "all"}, "visitors"),
        ({"ticket_minutes": 0}, "ticket_minutes"),
        ({"name": "a\x00b"}, "name"),
        ({"greeting": "g" * 1_001}, "greeting"),
        ({"greeting": "a\x01"}, "greeting"),
        ({"visitor_requests_per_minute": 6_001}, "visitor_requests_per_minute"),
        ({"tenant": 2}, "tenant"),
        ({"visitor_models": ["a\x01"]}, "visitor_models"),
        ({"id": 1}, "id"),
    ],
)
async def test_it_names_the_field_it_refuses(site, body, param):
    for method in ("PUT", "PATCH"):
        answer = await site.alice.request(method, PATH, body)
        if param == "name":
            assert answer.status == 400
        else:
            refused(answer, 400, "invalid_request", param)
    assert (await site.alice.get(PATH)).json == USUAL


@pytest.mark.parametrize(
    ("role", "read", "change"), [("developer", 200, 200), ("auditor", 200, 403), ("member", 403, 403)]
)
async def test_roles_may_what_the_table_says(site, role, read, change):
    client = site.signed_in(BOB, role)
    assert (await client.get(PATH)).status == read
    assert (await client.request("PATCH", PATH, {"name": "x"})).status == change


def test_its_bodies_and_answers_have_the_same_fields():
    for kind in (ChatSitePatch, ChatSiteSettingsAnswer):
        assert set(kind.__struct_fields__) == set(ChatSiteBody.__struct_fields__)
