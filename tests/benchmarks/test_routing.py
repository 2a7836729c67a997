"""What the routing benchmark makes of a run; the run itself needs a quiet machine."""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.routing.picture import Panel, draw
from benchmarks.routing.running import FAULTS, Outcome
from benchmarks.routing.shares import Shares
from benchmarks.routing.upstreams import Script
from benchmarks.routing.usage import Usage, complaints, disturbance
from benchmarks.routing.verdict import judged, row

ROOT = Path(__file__).parents[2]
QUIET = Usage(gateway=1.0, upstreams=0.1, load=0.2, store=0.0, others=0.02, machine=0.7, starved=0.1)
HEALTHY = (0.17, 0.22)


def outcome(policy="ours", fault="slow", **fields):
    usual = {
        "rate": 1000, "good": 99.95, "failed": 0.0, "p50": 170, "p99": 230, "calls": 1.0, "left": 0.25, "back": 4.0,
        "begin": 10, "end": 40, "late": 3.0, "usage": QUIET, "saturated": False, "complaints": [],
        "shares": [1.0] * 120,
    }  # fmt: skip
    return Outcome(policy=policy, fault=fault, **{**usual, **fields})


def calls(*pieces):
    """Ten calls a second of two instances: (seconds, every how many-th is the first's)."""
    found = []
    for seconds, every in pieces:
        for number in range(seconds * 10):
            found.append((len(found) / 10, 0 if every and number % every == 0 else 1))
    return found


def test_it_sees_who_leaves_and_comes_back():
    shares = Shares(calls((10, 2), (1, 5), (9, 0), (5, 4), (10, 2)), 2)
    assert shares.share(0, 0, 10) == 1 and shares.share(0, 12, 20) == 0
    assert shares.left_within(0, 10, 20) == pytest.approx(0.75, abs=0.25)
    assert shares.back_within(0, 20, 35) == pytest.approx(4.5, abs=0.5)
    assert shares.curve(0, 35)[0] == pytest.approx(1, abs=0.3) and len(shares.curve(0, 35)) == 70


def test_who_never_leaves_or_comes_back_has_no_time():
    shares = Shares(calls((20, 2), (10, 0)), 2)
    assert shares.left_within(0, 5, 15) is None
    assert shares.back_within(0, 22, 30) is None
    assert shares.share(0, 90, 99) is None and shares.left_within(0, 90, 99) is None


def test_it_complains_of_runs_that_measure_the_machine():
    assert complaints(QUIET, 0.004, HEALTHY, 0.167) == [] == disturbance(QUIET)
    assert len(complaints(QUIET, 0.08, HEALTHY, 0.167)) == 1
    assert len(complaints(QUIET, 0.004, (0.3, 0.9), 0.167)) == 2
    busy = Usage(gateway=1.5, upstreams=0.1, load=0.3, store=0.0, others=0.5, machine=0.99, starved=2.0)
    assert len(complaints(busy, 0.004, HEALTHY, 0.167)) == 1 == len(disturbance(busy))


def test_it_judges_our_own_policy_by_the_targets():
    plain = outcome("round robin", "erring", good=99.8)
    good = [outcome(), outcome(fault="failing", failed=0.0), plain, outcome(fault="erring", good=99.7)]
    lines = list(judged(good))
    assert len(lines) == 4 + 4 + 2 and all(line.endswith("reached") for line in lines)
    bad = outcome(good=99.8, left=3.0, back=None, calls=1.3, complaints=["late"])
    assert [": MISSED, but the run is not valid" in line for line in judged([bad])] == [True] * 4
    short = outcome(back=None, end=50)  # ten seconds after the repair
    assert not any("back after" in line for line in judged([short]))


def test_its_row_says_what_does_not_count():
    assert row(outcome()) == "| slow | ours | 99.950 | 0.000 | 170 | 230 | 0.25 | 4.00 | 1.000 |"
    assert "| ours (not valid) |" in row(outcome(complaints=["late"]))
    assert "| never |" in row(outcome(left=None)) and "never" not in row(outcome(fault="erring", left=None))


def test_its_picture_is_sound():
    panels = [
        Panel(policy, fault, 99.9, 10, 40, [1.0] * 60 + [9.0, 0.0] * 30, valid=policy == "ours")
        for policy in ("ours", "least & latest")
        for fault in ("slow", "failing")
    ]
    root = ElementTree.fromstring(draw(panels, "Who <is> called"))
    text = " ".join(root.itertext())
    assert all(word in text for word in ("Who <is> called", "least & latest", "failing", "not valid", "up to 9"))
    assert text.count("seconds") == 2
    assert "prefers-color-scheme: dark" in text


def test_its_upstreams_misbehave_as_told():
    script = Script()
    script.count, script.kind = 1, "slow"
    assert [script.of(number) for number in range(3)] == ["slow", "none", "none"]
    assert {"slow", "failing", "hanging", "busy", "dying", "garbage", "erring"} == set(FAULTS)


@pytest.mark.server
def test_it_runs_prints_its_table_and_draws_its_picture(tmp_path):
    command = ["-m", "benchmarks.routing", "--policies", "ours", "--faults", "garbage", "--rate", "30", "--exactly"]
    ended = subprocess.run(
        [sys.executable, *command, "--seconds", "3", "--picture", str(tmp_path / "shares.svg")],
        cwd=ROOT,
        env={**os.environ, "VAR_DIR": str(tmp_path / "var")},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ended.returncode == 0, ended.stderr
    assert "garbage, ours: late" in ended.stdout and "garbage: 1." in ended.stdout
    ElementTree.parse(tmp_path / "shares.svg")  # noqa: S314
