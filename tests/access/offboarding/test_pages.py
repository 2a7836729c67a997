import pytest

from access.offboarding import closing
from tenants import membership
from tenants.models import Job, Tenant
from tests.access.people.conftest import browser

__all__ = ["browser"]

PAGE = "/console/offboarding/"


def test_an_owner_closes_the_tenant_and_takes_it_back(cast, browser):
    alice = browser(cast.alice.user)
    assert alice.get(PAGE).status_code == 200
    alice.post(PAGE, {"confirmed": "wrong"})
    assert Tenant.objects.get(pk=1).closed_at is None
    assert alice.post(PAGE, {"confirmed": "acme"})["Location"] == "/accounts/"
    assert Tenant.objects.get(pk=1).closed_at is not None
    assert alice.get("/console/").status_code == 403
    assert "Take it back" in alice.get("/accounts/").content.decode()
    browser(cast.charlie.user).post("/accounts/reopen/", {"tenant": "1"})
    browser(cast.bob.user).post("/accounts/reopen/", {"tenant": "1"})
    assert Tenant.objects.get(pk=1).closed_at is not None
    alice.post("/accounts/reopen/", {"tenant": "1"})
    assert Tenant.objects.get(pk=1).closed_at is None
    assert alice.get("/console/").status_code == 200


def test_what_has_begun_to_be_deleted_is_not_taken_back(cast, browser):
    alice = browser(cast.alice.user)
    alice.post(PAGE, {"confirmed": "acme"})
    Job.objects.create(tenant=cast.acme, kind=closing.DELETION)
    answer = alice.post("/accounts/reopen/", {"tenant": "1"}, follow=True)
    assert answer.status_code == 200 and "has begun" in answer.content.decode()
    assert Tenant.objects.get(pk=1).closed_at is not None


@pytest.mark.parametrize("role", ["admin", "developer", "auditor"])
def test_nobody_but_an_owner_may(cast, browser, role):
    membership.change_role(member=cast.bob, role=role, by_role="owner")
    bob = browser(cast.bob.user)
    assert bob.get(PAGE).status_code == (200 if role == "admin" else 403)
    for asked in ({"export": "1"}, {"confirmed": "acme"}):
        assert bob.post(PAGE, asked).status_code == 403
    assert bob.get(f"{PAGE}?result=1").status_code == 403
    assert Tenant.objects.get(pk=1).closed_at is None and not Job.objects.everywhere().exists()


@pytest.mark.parametrize("number", ["", "x", "0", "-1", "9" * 30, "\x00"])
def test_it_fetches_only_its_own_results(cast, browser, number):
    other = Job.objects.create(tenant=cast.acme, kind="export_tenant", state="done", result_name="jobs/1.zip")
    charlie = browser(cast.charlie.user)
    for asked in (other.pk, number):
        assert charlie.get(PAGE, {"result": asked}).status_code == 404
    assert charlie.post("/accounts/reopen/", {"tenant": number}).status_code == 302
