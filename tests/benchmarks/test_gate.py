"""When what a request costs has grown, when that is only noise, and that the command says so. Nothing is timed here."""

from __future__ import annotations

import pytest

from benchmarks import gate, judging
from benchmarks.judging import Committed, Figure
from tests.benchmarks.test_commands import python

THEN = Figure(cpu=300.0, ratio=0.15, calls=1000.0)
SMALL = Figure(cpu=2.0, ratio=0.001, calls=30.0)


def committed(**rows: Figure) -> Committed:
    return Committed("A processor", "3.11.7", "abc", "2026-12-01 00:00", rows)


def figure(then: Figure, *, cpu: float = 1.0, calls: float = 1.0, pace: float = 1.0) -> Figure:
    """`then`, that many times as dear, on a machine that is slower by `pace`."""
    return Figure(then.cpu * cpu * pace, then.ratio * cpu, then.calls * calls)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (figure(THEN), None),
        (figure(THEN, cpu=1.29), None),
        (figure(THEN, cpu=1.29, pace=3.0), None),
        (figure(THEN, cpu=0.5), None),
        (figure(THEN, cpu=1.31), "row: 1.31 times the committed CPU, 1.00 times the calls."),
        (figure(THEN, cpu=1.4, calls=1.4), "row: 1.40 times the committed CPU, 1.40 times the calls."),
        (figure(THEN, calls=1.31), "row: 1.31 times the calls."),
        (figure(THEN, calls=1.29), None),
    ],
)
def test_a_row_is_too_dear_above_the_line(now, said):
    assert judging.judged({"row": now}, committed(row=THEN)) == ([said] if said else [])


def test_a_row_of_two_microseconds_may_be_a_microsecond_dearer_and_make_a_few_calls_more():
    assert judging.judged({"row": figure(SMALL, cpu=1.9, calls=1.3)}, committed(row=SMALL)) == []
    assert judging.judged({"row": figure(SMALL, cpu=2.1)}, committed(row=SMALL)) != []


def test_the_surplus_of_a_small_row_is_counted_at_the_pace_of_this_run():
    slow = Figure(cpu=6.0, ratio=0.0015, calls=30.0)  # 1.5 times, of a row that is 4 µs on this machine
    assert judging.judged({"row": slow}, committed(row=SMALL)) == []
    slower = Figure(cpu=9.0, ratio=0.0015, calls=30.0)
    assert len(judging.judged({"row": slower}, committed(row=SMALL))) == 1


def test_a_row_that_nobody_committed_is_no_pass():
    assert judging.judged({"new": THEN}, committed(row=THEN)) == ["new: not in the committed file."]


def test_on_another_processor_or_python_the_line_is_wider():
    found = committed(row=THEN)
    assert found.line("A processor", "3.11.7") == judging.LINE
    assert found.line("Another", "3.11.7") == found.line("A processor", "3.12.0") == judging.ELSEWHERE
    assert judging.judged({"row": figure(THEN, cpu=2.9)}, found, judging.ELSEWHERE) == []
    assert judging.judged({"row": figure(THEN, cpu=3.1)}, found, judging.ELSEWHERE) != []


def test_the_least_of_several_measurements_counts():
    assert figure(THEN, cpu=1.5).least(figure(THEN, cpu=1.1)) == figure(THEN, cpu=1.1)
    assert figure(THEN, cpu=1.1).least(figure(THEN, cpu=1.5)) == figure(THEN, cpu=1.1)


def test_what_has_become_much_cheaper_is_to_be_committed_anew(capsys):
    now = {"row": figure(THEN, cpu=0.7), "other": figure(THEN, cpu=0.8)}
    assert gate.verdict(now, committed(row=THEN, other=THEN), judging.LINE) == 0
    assert capsys.readouterr().out == "Much cheaper than committed, to be committed anew: row\n"


def test_the_verdict_names_the_row_and_how_to_commit_what_is_meant(capsys):
    assert gate.verdict({"row": figure(THEN, cpu=1.4)}, committed(row=THEN), judging.LINE) == 1
    said = capsys.readouterr().err
    assert "benchmarks.gate --commit" in said
    assert "row: 1.40 times the committed CPU" in said
    assert gate.verdict({"row": THEN}, None, judging.LINE) == 1


def test_the_committed_file_is_readable_and_can_be_written_again(tmp_path):
    found = judging.read()
    assert "/v1, everything on" in found.rows
    assert all(figure.ratio > 0 and figure.cpu > 0 and figure.calls > 0 for figure in found.rows.values())
    judging.write(found, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == judging.COMMITTED.read_bytes()


@pytest.mark.server
@pytest.mark.timeout(300)
def test_the_command_measures_and_judges_every_committed_row(tmp_path):
    plenty = {name: Figure(row.cpu, 1e6, row.calls * 9) for name, row in judging.read().rows.items()}
    file = tmp_path / "plenty.json"
    judging.write(committed(**plenty), file)
    ended = python("-m", "benchmarks.gate", "--rounds", "1", "--batch", "32", "--file", str(file), folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert [line for line in plenty if f"  {line}\n" not in ended.stdout] == []
    assert "Committed on A processor, Python 3.11.7: CPU is judged at 3 times." in ended.stdout
