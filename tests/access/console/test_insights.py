"""Insights in both consoles: figures for who may see the overview, questions for who may read conversations."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from django.test import Client

from compliance.models.insights import AnalysisRun
from tests.access.console.screens import NAUGHTY
from tests.access.test_insights import AT, count
from tests.cast import ACME, GLOBEX

PLATFORM = "/admin/insights/?period=own&since=2027-01-15&until=2027-01-16"
TENANT = PLATFORM.replace("admin", "console")
COUNTS = {
    ("turns", "rest", "completed"): 3, ("turns", "rest", "failed"): 1, ("turns", "rest", "cancelled"): 1,
    ("language", "zh", "completed"): 3, ("intent", NAUGHTY, "completed"): 2, ("intent", "", "failed"): 1,
    ("filter", NAUGHTY, "mask input"): 4, ("word", f"metals\x1f{NAUGHTY}", "mask input"): 4,
    ("session", "opened", ""): 4, ("session", "abandoned", ""): 1, ("retry", NAUGHTY, "upstream_timeout"): 1,
}  # fmt: skip


@pytest.fixture
def counted(cast: SimpleNamespace) -> None:
    assert AT == 1_800_000_000  # 2027-01-15 08:00 UTC
    count(ACME.id, COUNTS, {f"{NAUGHTY} of acme": {"ann": 2}})
    count(GLOBEX.id, {("turns", "rest", "completed"): 9}, {"of globex": {"charlie": 1}})


def login(username: str) -> Client:
    from tenants.models import User  # noqa: PLC0415

    client = Client()
    client.force_login(User.objects.get(username=username))
    return client


def cards(page) -> dict[str, str]:
    return {str(card["title"]): card["number"] for card in page.context["cards"]}


def table(page, title: str) -> list[list[str]]:
    return next(each["rows"] for each in page.context["tables"] if each["title"] == title)


def test_a_tenant_sees_its_own(counted: None, valkey_url: str) -> None:
    page = login("alice").get(TENANT)
    shown = cards(page)
    assert (shown["Turns"], shown["Completion rate"], shown["Left before the answer was whole"]) == (
        "5",
        "75.0 %",
        "20.0 %",
    )
    assert shown["Abandoned sessions"] == "25.0 %"
    assert page.context["questions"]["rows"] == [[f"{NAUGHTY} of acme", "2", "1"]]
    assert table(page, "Intents") == [[NAUGHTY, "2", "100.0 %", "0.0 %"], ["none of these", "1", "0.0 %", "0.0 %"]]
    assert table(page, "Hits of word lists") == [[NAUGHTY, "masked in what was asked", "4"]]
    assert table(page, "Slow models")[0][:3] == ["gpt", "—", "1"]
    assert page.context["words"]["rows"][0][0] == NAUGHTY
    text = page.content.decode()
    assert NAUGHTY not in text
    assert "globex" not in text.lower()
    assert page.context["read_until"]


def test_charlie_sees_nothing_of_acme(counted: None, valkey_url: str) -> None:
    page = login("charlie").get(TENANT)
    assert cards(page)["Turns"] == "9"
    assert page.context["questions"]["rows"] == [["of globex", "1", "1"]]
    assert "acme" not in page.content.decode().lower()


@pytest.mark.parametrize(("role", "figures", "questions"), [
    ("auditor", True, True), ("developer", True, False), ("member", False, False),
])  # fmt: skip
def test_a_role_decides_what_is_seen(
    counted: None, cast: SimpleNamespace, valkey_url: str, role: str, figures: bool, questions: bool
) -> None:
    cast.bob.role = role
    cast.bob.save()
    page = login("bob").get(TENANT)
    assert (page.status_code == 200) is figures
    if figures:
        assert ("questions" in page.context) is questions
        assert ("of acme" in page.content.decode()) is questions


def test_operators_see_whom_it_went_worst_for_but_no_questions(console: Client, counted: None) -> None:
    page = console.get(PLATFORM)
    assert cards(page)["Turns"] == "14"
    assert [row[1:4] for row in page.context["tenants"]["rows"]] == [
        ["5", "75.0 %", "20.0 %"],
        ["9", "100.0 %", "0.0 %"],
    ]
    assert "of acme" not in page.content.decode()


def test_it_says_when_nobody_analyses(console: Client, cast: SimpleNamespace) -> None:
    assert "never analysed" in console.get(PLATFORM).context["analysis"]["trouble"]
    run = AnalysisRun.objects.create(pk=1, ended=time.time(), seconds=1.0, entries=7)
    assert console.get(PLATFORM).context["analysis"]["trouble"] == ""
    AnalysisRun.objects.filter(pk=run.pk).update(error="OperationalError: away")
    assert "away" in console.get(PLATFORM).context["analysis"]["trouble"]
    AnalysisRun.objects.filter(pk=run.pk).update(error="", ended=time.time() - 3600)
    assert "some minutes" in console.get(PLATFORM).context["analysis"]["trouble"]
