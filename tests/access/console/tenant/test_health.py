"""How well it goes, in both consoles: of their own turns only, against an objective of their own."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from django.db import DatabaseError
from django.test import Client

from access.console import health
from compliance.usage import objectives
from tenants.models import ServiceObjective
from tests.access.console.tenant.conftest import SignIn
from tests.access.used import turn, use

PAGE, SET = "/console/health/", "/console/health/objective/"


@pytest.fixture
def used(cast: SimpleNamespace) -> None:
    """Acme: 97 of 100 completed now, 3 failed; 100 completed three days ago. Globex: all failed."""
    now = time.time()
    turns = [turn(at=now, duration=1.0, ttft=0.5) for _ in range(97)] + [turn(at=now, state="failed") for _ in range(3)]
    turns += [turn(at=now - 3 * 86_400 - 7200) for _ in range(100)]
    use(*turns, *(turn(2, at=now, state="aborted", model="globex only") for _ in range(10)))


def test_it_shows_the_objective_and_what_is_left(alice: Client, used: None) -> None:
    shown = alice.get(PAGE).context
    slo = shown["slo"]
    assert (slo["objective"], slo["left"], slo["bad"]) == ("99 %", "-50.0 %", True)  # 3 failed, 2 may
    assert slo["note"] == "3 of 200 turns failed in the last 30 days"
    assert [rate for _hours, rate in slo["burns"]] == ["3.0 ×"] * 4
    cards = {str(card["title"]): card["number"] for card in shown["cards"]}
    assert cards["Completion rate"] == "97.0 %" and cards["Answer whole after"] == "1.0 s"
    titles = [chart["title"] for chart in shown["charts"]]
    assert titles[1:3] == ["Until the answer is whole", "Until the first token"]
    assert shown["charts"][1]["rows"][0][1:] == ["1.0 s", "1.0 s", "1.0 s"]


def test_another_objective_is_saved_and_counts(cast: SimpleNamespace, alice: Client, used: None) -> None:
    assert alice.post(SET, {"completion": "95"}).status_code == 302
    assert alice.post(SET, {"completion": "96.5"}).status_code == 302
    row = ServiceObjective.objects.for_tenant(cast.acme.pk).get()
    assert row.completion == 96.5
    slo = alice.get(PAGE).context["slo"]
    assert (slo["objective"], slo["left"], slo["bad"]) == ("96.5 %", "57.1 %", False)


@pytest.mark.parametrize("asked", ["", "49", "100", "nan", "1e400", "<b>"])
def test_what_is_no_objective_is_refused(cast: SimpleNamespace, alice: Client, asked: str) -> None:
    answer = alice.post(SET, {"completion": asked})
    assert answer.status_code == 200 and answer.context["form"].errors
    assert not ServiceObjective.objects.everywhere().exists()


def test_a_link_changes_nothing(cast: SimpleNamespace, alice: Client) -> None:
    assert alice.get(f"{SET}?completion=60").status_code == 302
    assert not ServiceObjective.objects.everywhere().exists()


def test_who_may_only_look_sees_no_form(cast: SimpleNamespace, as_role: SignIn) -> None:
    auditor = as_role("auditor")
    assert auditor.get(PAGE).context["form"] is None
    assert auditor.post(SET, {"completion": "60"}).status_code == 403
    assert not ServiceObjective.objects.everywhere().exists()


def test_charlie_sees_nothing_of_theirs(cast: SimpleNamespace, alice: Client, charlie: Client, used: None) -> None:
    alice.post(SET, {"completion": "95"})
    answer = charlie.get(PAGE)
    assert answer.context["slo"]["objective"] == "99 %"
    assert answer.context["slo"]["note"].startswith("10 of 10 turns")
    cards = {str(card["title"]): card["number"] for card in answer.context["cards"]}
    assert (cards["Requests"], cards["Errors"]) == ("10", "10")
    assert charlie.post(SET, {"completion": "80"}).status_code == 302
    assert ServiceObjective.objects.for_tenant(cast.acme.pk).get().completion == 95


def test_an_operator_sees_all_of_it(cast: SimpleNamespace, console: Client, used: None) -> None:
    assert console.get("/admin/health/").context["slo"]["note"].startswith("13 of 210 turns")
    assert console.post("/admin/health/", {"completion": "90"}).status_code == 302
    assert console.post("/admin/health/", {"completion": "nothing"}).context["form"].errors
    assert ServiceObjective.objects.everywhere().get(tenant=None).completion == 90


def test_it_says_that_the_journal_is_away(
    cast: SimpleNamespace,
    alice: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def away(*_: object) -> None:
        raise DatabaseError("away")

    monkeypatch.setattr(objectives, "standing", away)
    assert "the journal&#x27;s database is away" in alice.get(PAGE).content.decode()


def test_nothing_was_used(cast: SimpleNamespace, alice: Client) -> None:
    slo = alice.get(PAGE).context["slo"]
    assert (slo["left"], slo["bad"], {rate for _hours, rate in slo["burns"]}) == ("—", False, {"—"})
    assert health.objective_of(cast.acme.pk).completion == 99.0
