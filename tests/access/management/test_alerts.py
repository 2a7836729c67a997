"""`/api/alerts`: a tenant's own, and that somebody knows."""

from tenants.models import Alert
from tests.access.managed import refused


def make(tenant_id=1, **fields):
    told = {"kind": "error_rate", "since": 1.0, "fired_at": 2.0, "state": "firing", "value": 20.0, "threshold": 10.0}
    return Alert.objects.create(tenant_id=tenant_id, **{**told, **fields}).pk


async def test_it_lists_the_newest_first(site):
    first, second = await site.rows(make), await site.rows(lambda: make(state="resolved", resolved_at=9.0))
    page = (await site.alice.get("/api/alerts?limit=1")).json
    assert [each["id"] for each in page["alerts"]] == [second] and page["next"] == second
    assert (await site.alice.get(f"/api/alerts?after={second}")).json == {
        "alerts": [
            {
                "id": first, "kind": "error_rate", "subject": "", "state": "firing", "value": 20.0, "threshold": 10.0,
                "since": 1.0, "fired_at": 2.0, "resolved_at": None, "acknowledged_at": None, "acknowledged_by": "",
            }
        ],
        "next": None,
    }  # fmt: skip


async def test_who_knows_first_stays_and_what_is_over_nobody_needs_to_know(site):
    firing, over = await site.rows(make), await site.rows(lambda: make(state="resolved"))
    told = (await site.alice.post(f"/api/alerts/{firing}/acknowledge", {})).json
    assert told["acknowledged_by"].startswith("key:") and told["acknowledged_at"] > 1
    assert (await site.alice.post(f"/api/alerts/{firing}/acknowledge", {})).json == told
    assert (await site.alice.post(f"/api/alerts/{over}/acknowledge", {})).json["acknowledged_at"] is None


async def test_charlie_sees_and_changes_nothing(site, unknown):
    number, platform = await site.rows(make), await site.rows(lambda: make(None))
    assert (await site.charlie.get("/api/alerts")).json == {"alerts": [], "next": None}
    for each in (number, platform, *unknown):
        refused(await site.charlie.post(f"/api/alerts/{each}/acknowledge", {}), 404, "not_found")
    assert not await site.rows(lambda: Alert.objects.everywhere().exclude(acknowledged_at=None).exists())
