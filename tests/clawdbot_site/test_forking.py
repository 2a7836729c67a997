import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clawdbot_site.serving.forking import ForkedChild
from clawdbot_site.serving.processes import Family
from tests.clawdbot_site.test_processes import ROOT, alive, until


def forked(log: Path, run: str) -> int:
    """The exit code of a forked child of a launcher that is a plain program; what it says is in `log`."""
    launcher = (
        "import os, sys\nfrom pathlib import Path\nfrom clawdbot_site.serving.forking import ForkedChild\n"
        "mine, given = os.pipe()\n"
        f"child = ForkedChild('a long name for a child', lambda: {run}, private=(mine, given), pass_fds=(given,),"
        f" log=Path({str(log)!r}))\nchild.start(); child.wait(20); raise SystemExit(child.exit_code)"
    )
    return subprocess.run([sys.executable, "-c", launcher], cwd=ROOT, timeout=60).returncode


@pytest.mark.parametrize(
    ("run", "code", "said"),
    [
        ("0", 0, ""),
        ("3", 3, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit(4)", 4, ""),
        ("sys.exit('no such file')", 1, "no such file"),
        ("1 // 0", 1, "ZeroDivisionError"),
    ],
)
def test_it_ends_as_a_program_would(tmp_path, run, code, said):
    assert forked(tmp_path / "log", run) == code
    text = (tmp_path / "log").read_text()
    assert said in text if said else text == ""


def test_it_is_a_process_of_its_own_with_a_name_and_without_the_launchers_descriptors(tmp_path):
    shown = (
        "open('/proc/self/comm').read().strip()",
        "os.getsid(0) == os.getpid()",
        "sys.stdin.read()",
        "os.path.exists(f'/proc/self/fd/{mine}')",
        "os.path.exists(f'/proc/self/fd/{given}')",
    )
    assert forked(tmp_path / "log", f"print([{', '.join(shown)}]) or 0") == 0
    assert (tmp_path / "log").read_text() == "['a long name for', True, '', False, True]\n"


def test_the_launchers_handlers_are_not_its_own(tmp_path):
    def hear(*_: object) -> None:
        Path(tmp_path / "heard").touch()

    before = signal.signal(signal.SIGTERM, hear)
    try:
        child = ForkedChild("x", lambda: time.sleep(60) or 0)
        child.start()
        child.ask_to_stop()
        assert child.wait(10)
        assert child.exit_code == -signal.SIGTERM
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not (tmp_path / "heard").exists()


def test_a_crashed_one_is_back(tmp_path):
    family = Family(lambda line: None)
    child = ForkedChild("x", lambda: time.sleep(60) or 0)
    family.start(child)
    try:
        first = child.pid
        os.kill(first, signal.SIGKILL)
        until(lambda: family.tend() or (child.pid != first and child.exit_code is None))
    finally:
        family.stop()
    assert not alive(child.pid)
