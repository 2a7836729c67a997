"""Where there is nothing, a browser gets a page with a way back; programs and scripts get the one error shape."""

from __future__ import annotations

import pytest

PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
CONSOLES = ("/admin/", "/console/")


@pytest.fixture
def whoever(console, cast, operator):
    """One who may open both."""
    cast.alice.user.is_superuser = cast.alice.user.is_staff = True
    cast.alice.user.save()
    console.force_login(cast.alice.user)
    return console


@pytest.mark.parametrize("place", CONSOLES)
@pytest.mark.parametrize("wrong", ["nowhere", "nowhere/at/all/", "plugins/sinkstate/9999999/from_now/"])
def test_a_wrong_address_is_a_page_with_a_way_back(whoever, place, wrong):
    answer = whoever.get(place + wrong, headers=PAGE)
    assert answer.status_code == 404
    assert answer["Content-Type"].startswith("text/html")
    page = answer.content.decode()
    assert "There is nothing here" in page
    assert f'href="{place}">Back to the overview' in page


@pytest.mark.parametrize("place", CONSOLES)
@pytest.mark.parametrize("headers", [{}, {"Accept": "application/json"}, {**PAGE, "HX-Request": "true"}])
def test_whoever_wants_no_page_gets_the_one_error_shape(whoever, place, headers):
    answer = whoever.get(f"{place}nowhere/", headers=headers)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize("place", CONSOLES)
def test_who_is_not_signed_in_goes_to_sign_in(client, db, place):
    answer = client.get(f"{place}nowhere/", headers=PAGE)
    assert answer["Location"] == f"{place}login/?next={place}nowhere/"


def test_other_addresses_keep_the_one_error_shape(whoever):
    assert whoever.get("/accounts/nowhere/", headers=PAGE).json()["error"]["code"] == "not_found"
