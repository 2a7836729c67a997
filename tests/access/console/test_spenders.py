"""Who costs what, and which instance has more than its share."""

from __future__ import annotations

import re
import time
from types import SimpleNamespace

import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from routing.models import ModelInstance
from routing.services import save_instance
from tests.access.console.screens import NAUGHTY
from tests.access.used import turn, use
from tests.cast import ACME, GLOBEX


def plain(cell: object) -> str:
    return re.sub(r"<[^>]+>", "", str(cell))


def test_it_lists_who_costs_most(console: Client, cast: SimpleNamespace) -> None:
    now = time.time()
    use(
        *(turn(ACME.id, at=now, cost=100) for _ in range(3)),
        turn(ACME.id, at=now, state="failed", cost=0),
        turn(GLOBEX.id, at=now, cost=2_700),
        turn(99, at=now, cost=0),
        turn(GLOBEX.id, at=now - 3 * 86_400, cost=5_000_000),
    )
    rows = [[plain(cell) for cell in row] for row in console.get("/admin/").context["tenants"]["rows"]]
    assert rows == [
        ["Globex", "1", "110", "0.0027", "90.0 %", "0 (0.0 %)", "100.0 %"],
        ["Acme", "4", "440", "0.0003", "10.0 %", "1 (25.0 %)", "75.0 %"],
        ["gone (99)", "1", "110", "0.0000", "0.0 %", "0 (0.0 %)", "100.0 %"],
    ]
    week = console.get("/admin/?period=7d").context["tenants"]["rows"]
    assert [plain(row[0]) for row in week] == ["Globex", "Acme", "gone (99)"]
    assert plain(week[0][3]) == "5.0027"


def test_it_shows_expected_and_actual_shares(console: Client, cast: SimpleNamespace) -> None:
    pair = [
        save_instance(
            instance=ModelInstance(name="gpt", label=label, weight=weight, endpoint="https://api.example.com/v1"),
            api_key="sk",
        )
        for label, weight in (("east", 3), ("west", 1))
    ]
    now = time.time()
    use(
        *(turn(at=now, instance_id=pair[0].pk) for _ in range(2)), *(turn(at=now, instance_id=pair[1].pk) for _ in "ab")
    )
    rows = console.get("/admin/").context["shares"]["rows"]
    assert [[plain(cell) for cell in row[:4]] for row in rows] == [
        ["gpt (east)", "2", "75.0 %", "50.0 %"],
        ["gpt (west)", "2", "25.0 %", "50.0 %"],
    ]
    assert "<strong>" in rows[0][3]


def test_it_asks_as_often_whatever_there_is(console: Client, cast: SimpleNamespace) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connections["journal"]) as one, CaptureQueriesContext(connections["default"]) as two:
            assert console.get("/admin/?period=30d").status_code == 200
        return len(one) + len(two)

    now = time.time()
    use(turn(at=now, instance_id=1))
    few = asked()
    use(*(turn(n, at=now - n * 86_400, model=f"m{n}", instance_id=n) for n in range(1, 40)))
    assert asked() == few


def test_it_opens_where_usage_cannot_be_read(console: Client, cast: SimpleNamespace) -> None:
    with connections["journal"].cursor() as cursor:
        cursor.execute("ALTER TABLE compliance_usagetotal RENAME TO away")
    try:
        page = console.get("/admin/")
    finally:
        with connections["journal"].cursor() as cursor:
            cursor.execute("ALTER TABLE away RENAME TO compliance_usagetotal")
    assert page.status_code == 200
    assert "cannot be read now" in page.content.decode()


@pytest.mark.parametrize("query", ["period=own", "period=x", "period=own&since=9999-12-31&until=0001-01-01"])
def test_an_absurd_period_is_refused_at_its_field(console: Client, cast: SimpleNamespace, query: str) -> None:
    page = console.get(f"/admin/?{query}")
    assert page.status_code == 200
    assert page.context["chosen"].form.errors


def test_names_run_nowhere(console: Client, rows: SimpleNamespace) -> None:
    use(turn(ACME.id, at=time.time(), instance_id=rows.instances[0].pk))
    assert NAUGHTY not in console.get("/admin/").content.decode()
