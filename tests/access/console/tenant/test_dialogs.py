"""A dialog that nobody loaded into a page is a page itself."""

from __future__ import annotations

import re

import pytest

from plugins.models import HeldEvent, SinkState

PAGE = {"Accept": "text/html,*/*;q=0.8"}
LAG = 3
SENT = {"_form_submitted": "True"}


@pytest.fixture
def state(cast) -> SinkState:
    return SinkState.objects.create(tenant=cast.acme, sink="webhook:1", label="sales", lag=LAG)


def test_opened_in_a_tab_of_its_own_it_has_the_frame(alice, state):
    page = alice.get(f"/console/plugins/sinkstate/{state.pk}/from_now/", headers=PAGE).content.decode()
    assert re.search(r"<title>\s*Go on from now\?", page) and "stylesheet" in page
    assert page.count('id="dialog"') == 1
    assert f'data-back="/console/plugins/sinkstate/{state.pk}/change/"' in page


def test_loaded_by_a_page_it_is_the_dialog_alone(alice, state):
    headers = {**PAGE, "HX-Request": "true"}
    part = alice.get(f"/console/plugins/sinkstate/{state.pk}/from_now/", headers=headers).content.decode()
    assert 'id="dialog"' in part and "<html" not in part


def test_sent_without_scripts_it_leads_back(alice, state):
    answer = alice.post(f"/console/plugins/sinkstate/{state.pk}/from_now/", SENT, headers=PAGE)
    assert (answer.status_code, answer["Location"]) == (302, f"/console/plugins/sinkstate/{state.pk}/change/")
    state.refresh_from_db()
    assert state.position == LAG  # what was behind it is skipped


def test_events_and_sinks_are_called_by_the_webhooks_name(cast, alice, state):
    held = HeldEvent.objects.create(
        tenant=cast.acme, sink="webhook:1", event="e1", type="turn.done", subject="s", partition="p",
        position=1, first_at=1.0, next_at=1.0,
    )  # fmt: skip
    pages = ("heldevent/", f"heldevent/{held.pk}/change/", f"sinkstate/{state.pk}/change/")
    for page in pages:
        text = alice.get(f"/console/plugins/{page}").content.decode()
        assert "sales" in text and "webhook:1" not in text, page


def test_an_event_of_a_sink_nobody_looks_after_says_which(cast, alice):
    HeldEvent.objects.create(
        tenant=cast.acme, sink="webhook:7", event="e1", type="turn.done", subject="s", partition="p",
        position=1, first_at=1.0, next_at=1.0,
    )  # fmt: skip
    assert "webhook:7" in alice.get("/console/plugins/heldevent/").content.decode()
