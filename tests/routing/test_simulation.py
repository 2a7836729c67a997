"""The targets of routing under faults, over the scenarios of `simulation.py`; every figure is decided by its seed."""

import pytest

from tests.routing.simulation import SCENARIOS, Fault, Scenario, simulate


def of(name, policy="ours", **fields):
    scenario = SCENARIOS[name]
    return simulate(scenario, policy, **fields), scenario.faults[0] if scenario.faults else None


def test_a_one_slow_backend_of_eleven():
    """Linkerd's published comparison: round robin 95 percent, peak EWMA 99.9."""
    result, fault = of("A")
    assert result.good >= 99.9
    assert result.left_within(fault) <= 2 and result.back_within(fault) <= 15
    assert of("A", "round robin")[0].good == pytest.approx(95.4, abs=0.5)


def test_a_with_sixteen_workers():
    """Each finds out by itself that an instance is slow; one at a time tries for all whether it still is."""
    result, fault = of("A", workers=16)
    assert result.good >= 99.9
    assert result.left_within(fault) <= 2 and result.back_within(fault) <= 15


def test_b_an_equal_pool_is_as_good_as_round_robin():
    ours, plain = of("B")[0], of("B", "round robin")[0]
    assert ours.good == plain.good == 100
    assert ours.quantile(0.99) <= 1.05 * plain.quantile(0.99)


def test_c_a_mixed_pool_is_better_than_two_choices():
    ours, choices = of("C")[0], of("C", "two choices")[0]
    assert ours.good > 99.9 and ours.quantile(0.99) <= 0.85 * choices.quantile(0.99)


def test_d_one_instance_gets_slower():
    result, fault = of("D")
    assert result.left_within(fault) <= 2 and result.back_within(fault) <= 15
    assert result.quantile(0.99) <= 1.10 * of("B")[0].quantile(0.99)


def test_e_one_instance_fails_at_once():
    result, fault = of("E")
    assert result.errors <= 0.3
    assert result.left_within(fault) <= 2 and result.back_within(fault) <= 15
    retried = of("E", retry=True)[0]
    assert retried.errors <= 0.01 and retried.amplification <= 1.2


def test_e_with_sixteen_workers():
    assert of("E", workers=16)[0].errors <= 0.3


def test_f_one_instance_errs_now_and_then():
    result, fault = of("F")
    assert result.errors <= 0.4
    assert result.left_within(fault) <= 2 and result.back_within(fault) <= 15
    assert of("F", retry=True)[0].errors <= 0.02


def test_g_one_instance_hangs():
    result, fault = of("G")
    assert result.errors <= 0.25
    assert result.left_within(fault) <= 1.5 and result.back_within(fault) <= 15


def test_h_errors_everywhere_cost_no_more_than_with_round_robin():
    ours, plain = of("H")[0], of("H", "round robin")[0]
    assert ours.good >= plain.good - 0.2
    assert of("H", retry=True)[0].amplification <= 1.2


def test_retries_make_no_outage_worse():
    everything = Scenario(rate=200, length=20, faults=(Fault(0, 20, count=10, erring=1.0, at_once=True),))
    result = simulate(everything, "ours", retry=True)
    assert result.calls <= 1.2 * result.total + 4 * 10  # the reserve of four workers


def test_it_is_repeatable():
    first, again, other = (simulate(Scenario(length=2), "ours", seed=seed) for seed in (1, 1, 2))
    assert first.latencies == again.latencies != other.latencies
