"""When an alert fires and when it is over."""

from __future__ import annotations

import pytest

from access.alerting.judging import Seen, is_bad, is_well, step
from tenants.models import Alert, AlertKind, AlertRule

State = Alert.State


def rule(kind: str = AlertKind.COMPLETION_RATE, **fields) -> AlertRule:
    return AlertRule(pk=1, kind=kind, **{"minutes": 5, "repeat_minutes": 60, **fields})


class Story:
    """A figure a minute; `states` are what the alert was after each, "" for none."""

    def __init__(self, one: AlertRule) -> None:
        self.rule, self.alert, self.now, self.states, self.told = one, None, 0.0, [], []

    def goes(self, *values: float | None) -> Story:
        for value in values:
            self.alert = step(self.rule, self.alert, Seen(self.rule.kind, "", value), self.now)
            self.states.append(self.alert.state if self.alert is not None else "")
            if self.alert is not None and self.alert.telling:
                self.told.append((self.now / 60, self.alert.telling))
                self.alert.telling = ""
            if self.alert is not None and self.alert.state == State.RESOLVED:
                self.alert = None
            self.now += 60
        return self


def test_it_fires_after_its_minutes_and_is_over_after_as_many() -> None:
    story = Story(rule()).goes(*[80] * 6, *[99] * 6)
    assert story.states == ["pending"] * 5 + ["firing"] + ["firing"] * 5 + ["resolved"]
    assert story.told == [(5, "firing"), (11, "resolved")]


def test_a_short_one_is_told_nobody() -> None:
    assert Story(rule()).goes(80, 80, 80, 95, 80, 95).told == []


def test_one_of_no_minutes_fires_at_once() -> None:
    assert Story(rule(minutes=0)).goes(80, 100).told == [(0, "firing"), (1, "resolved")]


def test_what_dances_around_the_threshold_is_told_once() -> None:
    """90.5 % is neither: the margin ends at 91 %."""
    story = Story(rule(repeat_minutes=0)).goes(*[80] * 6, *[90.5, 89] * 20)
    assert story.told == [(5, "firing")] and story.alert.state == State.FIRING


def test_it_is_told_again_until_somebody_knows() -> None:
    story = Story(rule()).goes(*[80] * 70)
    assert story.told == [(5, "firing"), (65, "firing")]
    story.alert.acknowledged_at = story.now
    assert len(story.goes(*[80] * 130).told) == 2
    assert len(Story(rule(repeat_minutes=0)).goes(*[80] * 200).told) == 1


def test_nothing_to_measure_is_not_bad() -> None:
    assert Story(rule()).goes(None, None).states == ["", ""]
    assert Story(rule()).goes(80, None, 80).states == ["pending", "", "pending"]
    assert Story(rule()).goes(*[80] * 6, *[None] * 6).told == [(5, "firing"), (11, "resolved")]


def test_it_is_told_by_the_ways_of_its_rule() -> None:
    seen = Seen(AlertKind.CPU, "a", 99.0)
    alert = step(rule(AlertKind.CPU, minutes=0, mail=False, url="https://example.com/"), None, seen, 0.0)
    assert (alert.by_mail, alert.by_webhook, alert.telling) == (False, True, "firing")
    quiet = step(rule(AlertKind.CPU, minutes=0, mail=False), None, seen, 0.0)
    assert quiet.state == State.FIRING and quiet.telling == ""


@pytest.mark.parametrize(
    ("kind", "value", "limit", "bad", "well"),
    [
        (AlertKind.COMPLETION_RATE, 89.9, 90, True, False),
        (AlertKind.COMPLETION_RATE, 90, 90, False, False),
        (AlertKind.COMPLETION_RATE, 91, 90, False, True),
        (AlertKind.COMPLETION_RATE, 100, 100, False, True),
        (AlertKind.COMPLETION_RATE, 100, 150, True, False),
        (AlertKind.RESPONSE_TIME, 2.01, 2, True, False),
        (AlertKind.RESPONSE_TIME, 2, 2, False, False),
        (AlertKind.RESPONSE_TIME, 1.8, 2, False, True),
        (AlertKind.CPU, 85.1, 85, True, False),
        (AlertKind.INSTANCE_DOWN, 50, 50, True, False),
        (AlertKind.INSTANCE_DOWN, 49, 50, False, True),
        (AlertKind.STORE_DOWN, 1, 0, True, False),
        (AlertKind.STORE_DOWN, 0, 0, False, True),
        (AlertKind.JOURNAL_WAITS, 0, 1000, False, True),
    ],
)
def test_thresholds_and_margins(kind: str, value: float, limit: float, bad: bool, well: bool) -> None:
    assert (is_bad(kind, value, limit), is_well(kind, value, limit)) == (bad, well)


def test_a_clock_that_is_set_back_keeps_nothing_waiting() -> None:
    story = Story(rule())
    story.now = 86_400.0
    story.goes(80)
    story.now = 0.0
    assert story.goes(*[80] * 6).states[-1] == State.FIRING
    story.now = 86_400.0
    story.goes(99)
    story.now = 600.0
    assert story.goes(*[99] * 6).states[-1] == State.RESOLVED


def test_what_has_no_figure_has_no_threshold_either() -> None:
    assert rule(AlertKind.STORE_DOWN, threshold=5.0).limit == 0.0
    assert rule(AlertKind.CPU, threshold=0.0).limit == 0.0
