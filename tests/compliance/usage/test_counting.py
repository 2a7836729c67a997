"""What is counted of a completion as it is stored."""

import pytest

from compliance.journal.records import completion_row, intent_row, unrecordable
from compliance.sealing import splitting
from compliance.usage.counting import MOST, SUMS, tally
from engine.types import Usage
from tests.compliance.journals import completion, intent, sealer

AT = 1_700_000_000.0  # in hour 472222


def row(state="completed", **fields):
    given = {"at": AT, "model": "gpt", "instance": "gpt", "instance_id": 4, "edge": "rest", "duration": 0.5}
    return completion_row(completion(intent(), state, **{**given, **fields}), "w")


def sums(sum_):
    return {name: number for name, number in zip(SUMS, sum_.counts, strict=True) if number}


def test_it_counts_completions_only():
    assert tally([intent_row(intent(), "w")]) is None
    assert tally([]) is None


def test_it_says_who_used_what():
    used = Usage(prompt_tokens=10, completion_tokens=5, cached_tokens=4, reasoning_tokens=3)
    told = tally([row(key_id=7, usage=used, cost=12), row("failed", key_id=7, usage=used, cost=2)])
    ((key, counted),) = told.rows
    assert key == (1, 472222, 7, 0, "gpt", 4, "rest")
    assert sums(counted) == {
        "completed": 1, "failed": 1, "prompt_tokens": 20, "completion_tokens": 10, "cached_tokens": 8,
        "reasoning_tokens": 6, "cost": 14,
    }  # fmt: skip
    assert counted.last_at == AT
    assert [(key, sums(each)) for key, each in told.totals] == [
        ((1, 1, 472222, "gpt", 4), sums(counted)),
        ((1, 24, 472200, "gpt", 4), sums(counted)),
    ]


def test_it_reads_what_is_sealed():
    asked = intent(user="7")
    told = completion(asked, at=AT, model="gpt", instance="gpt", member_id=7, cost=3, instance_id=4, edge="rest")
    (sealed,), _ = sealer().seal([splitting.completion_row(told, "w")], {asked.turn_id: "7"})
    ((key, counted),) = tally([sealed]).rows
    assert key == (1, 472222, 0, 7, "gpt", 4, "rest")
    assert sums(counted) == {"completed": 1, "prompt_tokens": 1, "completion_tokens": 1, "cost": 3}


@pytest.mark.parametrize("source", ["cache", "shared", "plugin"])
def test_it_counts_no_tokens_that_nobody_was_paid_for(source):
    ((_, counted),) = tally([row(source=source)]).rows
    assert sums(counted) == {"completed": 1}


def test_it_puts_the_last_moment_of_an_hour_into_that_hour():
    told = tally([row(at=472223 * 3600 - 0.001), row(at=472223 * 3600.0)])
    assert [key[1] for key, _ in told.rows] == [472222, 472223]


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"instance": "", "model": "whatever a caller writes", "state": "refused"}, ""),
        ({"instance": "open/*", "model": "open/made-up", "state": "failed", "usage": Usage()}, "open/*"),
        ({"instance": "open/*", "model": "open/real"}, "open/real"),
        ({"model": "auto", "state": "aborted"}, "gpt"),
    ],
)
def test_it_names_no_model_that_callers_make_up(fields, name):
    ((key, _),) = tally([row(**fields)]).rows
    assert key[4] == name


def test_it_counts_a_turn_whose_figures_cannot_be_read():
    content = row(key_id=7)[:-1]
    for body in (b"", b"\x01", b"{", b"\x01\xff\xff\xff\xff", b'{"usage": 7}'):
        ((key, counted),) = tally([(*content, body)]).rows
        assert (key[2], sums(counted)) == (7, {"completed": 1})
    ((_, counted),) = tally([unrecordable("0" * 32, 1, AT, "w")]).rows
    assert sums(counted) == {"failed": 1}


def test_no_figure_of_a_turn_overflows_a_sum():
    used = Usage(prompt_tokens=1 << 62, completion_tokens=-5)
    ((_, counted),) = tally([row(usage=used, cost=1 << 62)]).rows
    assert sums(counted) == {"completed": 1, "prompt_tokens": MOST, "cost": MOST}


def test_it_times_completed_turns():
    told = tally([row(ttft=0.1), row(), row("failed", ttft=0.1)])
    ((key, timing),) = told.timings
    assert key == (1, 472222, "gpt")
    assert timing.durations == {"66": 2}
    assert timing.first_tokens == {"49": 1}


@pytest.mark.parametrize("at", [float("inf"), float("nan")])
def test_it_refuses_a_time_that_is_none(at):
    with pytest.raises((ValueError, OverflowError)):
        tally([row(at=at)])
