import pytest

from benchmarks.instructions import busiest, counts, table
from tests.benchmarks.test_commands import python

DUMP = "version: 1\ncreator: callgrind\n\npositions: line\nevents: Ir I1mr D1mr D1mw\n\nfn=(1) a\n1 5\n\nsummary: {}\n"


def test_it_reads_what_was_counted_and_takes_the_thread_that_did_most(tmp_path):
    (tmp_path / "out.7.1-01").write_text(DUMP.format("6400 64 30 2"))
    (tmp_path / "out.7.1-02").write_text(DUMP.format("200 1 1 1"))
    (tmp_path / "out.7.1-03").write_text("events: Ir\n")  # a thread that did nothing
    found = counts(busiest(tmp_path))
    assert found == {"Ir": 6400, "I1mr": 64, "D1mr": 30, "D1mw": 2}
    assert table(found, 64).splitlines()[:3] == [
        "         100  instructions",
        "           1  first-level misses, instructions",
        "           0  first-level misses, data",
    ]


def test_what_is_no_dump_is_refused():
    with pytest.raises(ValueError, match="callgrind"):
        counts("events: Ir\n")


@pytest.mark.server
def test_a_row_that_is_not_there_is_told(tmp_path):
    ended = python("-m", "benchmarks.instructions", "--row", "x", folder=tmp_path)
    assert ended.returncode == 2
    assert "/v1, everything on, with a session\n" in ended.stderr
