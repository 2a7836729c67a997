"""`/api/privacy`: a tenant's managers choose what is masked, and nobody else for them."""

from typing import get_args

import pytest

from access.management.privacy import RecogniserName
from compliance.models import PersonalData
from compliance.personal.scanning import NAMES
from tenants.models import ConfigVersion
from tests.access.managed import managed
from tests.cast import ALICE, CHARLIE

PATH = "/api/privacy"


@pytest.fixture
async def site(transactional_db, cast):
    async with managed() as site:
        yield site


def stored():
    return {row.tenant_id: row.recognisers for row in PersonalData.objects.everywhere()}


def version():
    return ConfigVersion.objects.filter(section="personal").values_list("version", flat=True).first() or 0


async def test_nothing_is_on_at_first(site):
    for path in (PATH, f"{PATH}/"):
        assert (await site.alice.get(path)).json == {"recognisers": []}
    assert await site.rows(stored) == {}


async def test_it_sets_exactly_what_is_told(site):
    answer = await site.alice.request("PATCH", PATH, {"recognisers": ["id_cn", "phone", "id_cn"]})
    assert (answer.status, answer.json) == (200, {"recognisers": ["phone", "id_cn"]})
    assert (await site.alice.get(PATH)).json == answer.json
    assert (await site.alice.request("PATCH", PATH, {"recognisers": list(NAMES)})).json["recognisers"] == list(NAMES)
    assert (await site.alice.request("PATCH", PATH, {"recognisers": []})).json == {"recognisers": []}
    assert await site.rows(stored) == {ALICE.company.id: []}


async def test_it_announces_a_change_and_not_what_changes_nothing(site):
    body = {"recognisers": ["phone", "email"]}
    assert (await site.alice.request("PATCH", PATH, body)).status == 200
    before = await site.rows(version)
    assert before > 0
    assert (await site.alice.request("PATCH", PATH, {"recognisers": ["email", "phone"]})).status == 200
    assert await site.rows(version) == before
    await site.alice.request("PATCH", PATH, {"recognisers": ["email"]})
    assert await site.rows(version) == before + 1


async def test_charlie_has_his_own(site):
    await site.alice.request("PATCH", PATH, {"recognisers": ["phone"]})
    assert (await site.charlie.get(PATH)).json == {"recognisers": []}
    await site.charlie.request("PATCH", PATH, {"recognisers": ["email"]})
    assert (await site.alice.get(PATH)).json == {"recognisers": ["phone"]}
    assert await site.rows(stored) == {ALICE.company.id: ["phone"], CHARLIE.company.id: ["email"]}


async def test_it_is_for_who_manages_the_tenant(site):
    for method in ("GET", "PATCH"):
        refused = await site.bob.request(method, PATH, {"recognisers": []})
        assert (refused.status, refused.json["error"]["code"]) == (403, "forbidden")
        assert (await site.site.stranger.request(method, PATH, {"recognisers": []})).status == 401
    assert (await site.alice.request("DELETE", PATH)).status == 405


WRONG = [
    ({}, "recognisers"),
    ({"recognisers": "phone"}, "recognisers"),
    ({"recognisers": None}, "recognisers"),
    ({"recognisers": ["phone", "shoe_size"]}, "recognisers[1]"),
    ({"recognisers": [1]}, "recognisers[0]"),
    ({"recognisers": [], "tenant": 2}, "tenant"),
]


async def test_it_names_the_field_it_refuses(site):
    for body, param in WRONG:
        answer = await site.alice.request("PATCH", PATH, body)
        assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_request"), body
        assert answer.json["error"]["param"] == param
    assert await site.rows(stored) == {}


def test_its_description_lists_every_recogniser():
    assert get_args(RecogniserName) == NAMES
