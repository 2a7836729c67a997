"""That an open stream does not come to hold more by and by: bytes are counted, and nothing is timed."""

from __future__ import annotations

import re

import pytest

from tests.benchmarks.test_commands import python


@pytest.mark.server
@pytest.mark.timeout(300)
def test_an_open_stream_holds_little(tmp_path):
    """18,500 bytes when this was written, 30,000 before it was looked after."""
    ended = python("-m", "benchmarks.held", "--rows", "0", folder=tmp_path)
    assert re.search(r"^[0-9,]+ bytes in \d+ pieces a stream", ended.stdout, re.MULTILINE), ended.stderr
    assert ended.returncode == 0, ended.stdout
