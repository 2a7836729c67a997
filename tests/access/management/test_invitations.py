from datetime import timedelta

import pytest
from django.core import mail
from django.utils import timezone

from tenants.models import Invitation
from tests.access.managed import managed, refused
from tests.cast import ALICE, BOB


@pytest.fixture
async def site(transactional_db, cast, valkey_server, valkey_url):
    """Counts mails, so it needs the store."""
    async with managed() as site:
        yield site


async def made(client, **changes):
    answer = await client.post("/api/invitations", {"email": "dora@example.com", "role": "developer", **changes})
    assert answer.status == 201, answer.json
    return answer.json


async def test_it_invites_by_mail_and_tells_no_secret(site):
    invited = await made(site.signed_in(ALICE, "owner"), role="owner")
    assert (invited["email"], invited["role"], invited["state"], invited["invited_by"]) == (
        "dora@example.com", "owner", "open", "alice",
    )  # fmt: skip
    assert [message.to for message in mail.outbox] == [["dora@example.com"]]
    row = await site.rows(lambda: Invitation.objects.everywhere().get())
    listed = await site.alice.get("/api/invitations")
    assert listed.json == {"invitations": [invited], "next": None} and row.digest.encode() not in listed.body
    assert (await site.alice.get(f"/api/invitations/{row.pk}")).json == invited


async def test_it_resends_and_withdraws(site):
    path = f"/api/invitations/{(await made(site.alice))['id']}"
    assert (await site.alice.post(f"{path}/resend")).json["state"] == "open"
    assert len(mail.outbox) == 2
    for _ in range(2):
        assert (await site.alice.request("DELETE", path)).status == 204
    assert (await site.alice.get(path)).json["state"] == "withdrawn"
    refused(await site.alice.post(f"{path}/resend"), 409, "conflict")
    assert (await site.alice.get("/api/invitations?state=open")).json["invitations"] == []
    assert len((await site.alice.get("/api/invitations?state=withdrawn&search=DORA")).json["invitations"]) == 1


async def test_its_states_are_told_and_found(site):
    first, second = (await made(site.alice))["id"], (await made(site.alice, email="emil@example.com"))["id"]

    def age():
        rows = Invitation.objects.for_tenant(1)
        rows.filter(pk=first).update(expires_at=timezone.now() - timedelta(1))
        rows.filter(pk=second).update(accepted_at=timezone.now())

    await site.rows(age)
    for state, number in (("expired", first), ("accepted", second)):
        found = (await site.alice.get(f"/api/invitations?state={state}")).json["invitations"]
        assert [(row["id"], row["state"]) for row in found] == [(number, state)]
    refused(await site.alice.request("DELETE", f"/api/invitations/{second}"), 409, "conflict")


async def test_nobody_invites_anybody_to_be_more_than_they_are(site):
    for asker in (site.signed_in(BOB, "admin"), site.alice):
        answer = await asker.post("/api/invitations", {"email": "dora@example.com", "role": "owner"})
        refused(answer, 403, "forbidden", "role")
    owners = await made(site.signed_in(ALICE, "owner"), role="owner")
    path = f"/api/invitations/{owners['id']}"
    refused(await site.signed_in(BOB, "admin").request("DELETE", path), 403, "forbidden", "role")
    refused(await site.signed_in(BOB, "admin").post(f"{path}/resend"), 403, "forbidden", "role")
    for role in ("developer", "auditor", "member"):
        refused(await site.signed_in(BOB, role).post("/api/invitations", {"email": "x@example.com"}), 403, "forbidden")


async def test_charlie_sees_nothing_of_it(site, unknown):
    invited = await made(site.alice)
    assert (await site.charlie.get("/api/invitations")).json == {"invitations": [], "next": None}
    for name in (invited["id"], *unknown):
        refused(await site.charlie.get(f"/api/invitations/{name}"), 404, "not_found")
        refused(await site.charlie.request("DELETE", f"/api/invitations/{name}"), 404, "not_found")
        refused(await site.charlie.post(f"/api/invitations/{name}/resend"), 404, "not_found")
    assert (await site.alice.get(f"/api/invitations/{invited['id']}")).json == invited


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"email": "no address"}, "email"),
        ({"email": ""}, "email"),
        ({"email": f"{'x' * 250}@example.com"}, "email"),
        ({"email": "a@b.c\nBcc: d@e.f"}, "email"),
        ({"role": "king"}, "role"),
        ({"tenant": 2}, "tenant"),
        ({"digest": "x"}, "digest"),
        ({"expires_at": 1}, "expires_at"),
        ({"accepted_at": 1}, "accepted_at"),
    ],
)
async def test_it_names_the_field_it_refuses(site, body, param):
    answer = await site.alice.post("/api/invitations", {"email": "dora@example.com", **body})
    refused(answer, 400, "invalid_request", param)
    assert mail.outbox == [] and not await site.rows(lambda: Invitation.objects.everywhere().exists())


async def test_an_address_is_asked_once(site):
    await made(site.alice)
    answer = await site.alice.post("/api/invitations", {"email": "Dora@example.com"})
    refused(answer, 400, "invalid_request", "email")
