import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clawdbot_site.serving.processes import Child, Family

ROOT = Path(__file__).parents[2]
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)",
]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_starts_a_crashed_child_again():
    said = []
    family = Family(said.append)
    child = Child("sleeper", SLEEP)
    family.start(child)
    try:
        first = child.pid
        os.kill(first, signal.SIGKILL)
        until(lambda: family.tend() or (child.pid != first and child.exit_code is None))
        assert "sleeper ended (exit code -9)" in said[0]
    finally:
        family.stop()
    assert not alive(child.pid)


def test_it_waits_longer_after_every_quick_crash():
    child = Child("broken", [sys.executable, "-c", "raise SystemExit(3)"])
    waits = []
    for _ in range(8):
        waits.append(child.wait_before_restart())
        child._began = time.monotonic()
    assert waits[0] == 0
    assert waits == sorted(waits)
    assert waits[-1] == 10.0


def test_it_stops_them_last_started_first(tmp_path):
    order = tmp_path / "order"
    program = (
        "import signal, sys\n"
        "signal.signal(15, lambda *a: (open({!r}, 'a').write({!r}), sys.exit()))\n"
        "print(1, flush=True)\n"
        "signal.pause()"
    )
    family = Family(lambda line: None)
    for name in "abc":
        child = Child(name, [sys.executable, "-c", program.format(str(order), name)], log=tmp_path / name)
        family.start(child)
        until(lambda file=tmp_path / name: file.read_text() == "1\n")
    family.stop()
    assert order.read_text() == "cba"


@pytest.mark.parametrize("drains", [True, False])
def test_those_that_drain_are_asked_before_anybody_is_waited_for(tmp_path, drains):
    """The last one started, which drains or does not, ends only once the first one was asked, too."""
    asked = tmp_path / "asked"
    first = f"open({str(asked)!r}, 'w').close(), sys.exit()"
    last = f"[time.sleep(0.01) for _ in iter(lambda: os.path.exists({str(asked)!r}), True)], sys.exit()"
    family, said = Family(lambda line: said.append(line)), []
    for name, end, it_drains in (("first", first, True), ("last", last, drains)):
        ready = tmp_path / name
        program = f"import os, signal, sys, time; signal.signal(15, lambda *_: ({end}))"
        program += f"; open({str(ready)!r}, 'w').close(); time.sleep(60)"
        family.start(Child(name, [sys.executable, "-c", program], stop_time=20.0, drains=it_drains))
        until(ready.exists)
    family.stop()
    assert said == []


def test_it_kills_a_child_that_does_not_stop(tmp_path):
    said = []
    family = Family(said.append)
    child = Child("mule", STUBBORN, log=tmp_path / "log", stop_time=0.2)
    family.start(child)
    until(lambda: (tmp_path / "log").read_text() == "1\n")
    family.stop()
    assert child.exit_code == -signal.SIGKILL
    assert said == ["The mule does not stop; it is killed."]


def test_its_children_end_when_it_is_killed(tmp_path):
    program = (
        "import sys, time\nfrom clawdbot_site.serving.processes import Child\n"
        f"child = Child('x', {SLEEP!r}); child.start(); print(child.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    assert alive(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: not alive(pid))


def test_it_begins_a_log_anew_when_it_is_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr("clawdbot_site.serving.processes.LOG_LIMIT", 10)
    log = tmp_path / "log" / "x.log"
    for _ in range(3):
        child = Child("x", [sys.executable, "-c", "print('123456')"], log=log)
        child.start()
        child.wait(10)
    assert log.read_text() == "123456\n"
