"""The measurements run; what they measure is nobody's business here."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import workload
from benchmarks.processes import times

ROOT = Path(__file__).parents[2]


def python(*arguments: str, folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "VAR_DIR": str(folder / "var")},
        capture_output=True,
        text=True,
        timeout=250,  # beside suites that keep every core busy, a start alone can take a minute
    )


def test_it_prints_what_metrics_cost(tmp_path):
    ended = python("-m", "benchmarks.metrics", "--tenants", "2", "--models", "2", "--workers", "2", folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "counting a turn" in ended.stdout and "the same by prometheus_client" in ended.stdout


@pytest.mark.server
@pytest.mark.server
def test_it_measures_streams_that_can_be_resumed(tmp_path):
    ended = python("-m", "benchmarks.resume", "--rounds", "1", folder=tmp_path)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.server
def test_it_prints_what_django_costs(tmp_path):
    ended = python("-m", "benchmarks.handlers", "--rounds", "1", folder=tmp_path)
    assert "/api/chat, lean handler" in ended.stdout, ended.stderr


@pytest.mark.server
def test_it_measures_turns_over_websocket(tmp_path):
    ended = python("-m", "benchmarks.websocket", "--seconds", "0.3", "--rounds", "1", folder=tmp_path)
    assert "/ws/chat, answers of 32 chunks, one each 5 ms" in ended.stdout, ended.stderr
    assert "turns of one chunk a second and core by CPU" in ended.stdout


@pytest.mark.server
def test_it_replays_a_journal_it_fills(tmp_path):
    ended = python("-m", "benchmarks.replay", "--records", "300", "--files", "3", folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("300 turns read, 300 replayed, ")


@pytest.mark.server
def test_it_reads_a_journal_it_fills_page_by_page(tmp_path):
    ended = python("-m", "benchmarks.audit_reading", "--rows", "4000", "--files", "2", folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("4000 entries in 2 file(s), sqlite")
    assert "longest of all" in ended.stdout


def test_it_lists_the_long_runs(tmp_path):
    ended = python("-m", "benchmarks.soak", folder=tmp_path)
    assert ended.returncode == 0
    assert "audit-kill" in ended.stdout


def test_it_refuses_a_long_run_nobody_knows(tmp_path):
    assert python("-m", "benchmarks.soak", "unheard-of", folder=tmp_path).returncode == 2


@pytest.mark.parametrize(
    "bodies", [workload.openai(), workload.openai(stream=True), workload.rest(session_id="a" * 32)]
)
def test_it_asks_something_else_every_time_in_330_bytes(bodies):
    made = [bodies(number) for number in range(200)]
    assert {len(body) for body in made} == {workload.BODY_BYTES}
    assert len(set(made)) == len(made)


def test_it_counts_the_time_on_a_core():
    before = times(os.getpid())
    sum(range(3_000_000))
    assert (times(os.getpid()) - before).ran > 0.005
