"""`manage.py selftest audit`, in its smallest form on each database, and that it can say no."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from clawdbot_site.selftest import audit
from clawdbot_site.selftest.ledger import Ledger, Line, Verdict
from tests.product.running import ROOT, SELFTEST_TIME, until


@pytest.mark.parametrize("options", [["postgresql"], ["postgresql", "--spool"], ["sqlite"]], ids=" ".join)
def test_it_finds_every_answer_after_kill_9(options):
    command = [sys.executable, "manage.py", "selftest", "audit", "--rounds", "2", "--clients", "8", "--database"]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=SELFTEST_TIME)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing is missing." in done.stdout
    assert done.stdout.count(": killed") == 2


@pytest.mark.parametrize(
    ("missing", "still_open", "answered", "code"),
    [([], 0, 5, 0), (["ledger-1"], 0, 5, 1), ([], 1, 5, 1), ([], -1, 5, 1), ([], 0, 0, 1)],
)
def test_it_says_no(missing, still_open, answered, code, monkeypatch):
    said = []

    async def play(*_):
        ledger = Ledger(lines={"ledger-1": Line(stream=False)})
        return ledger, Verdict(5, answered, missing, [], [], still_open)

    monkeypatch.setattr(audit, "_play", play)
    assert audit.run(audit.Plan(database="sqlite"), said.append) == code
    assert ("THE PROMISE WAS NOT KEPT." in said) == bool(code)


def test_it_says_that_it_could_not_run(monkeypatch):
    said = []
    monkeypatch.setattr(audit.postgres, "available", lambda: False)
    assert audit.run(audit.Plan(database="postgresql"), said.append) == 2

    async def play(*_):
        raise RuntimeError("no port")

    monkeypatch.setattr(audit, "_play", play)
    assert audit.run(audit.Plan(database="sqlite"), said.append) == 2
    assert any("no port" in line for line in said)


STARTED = """
import sys, time
from pathlib import Path
from clawdbot_site.selftest.instance import Instance
instance = Instance(Path(sys.argv[1]) / "var", LOCAL_MODEL="off", WORKERS="1", GRPC_PORT="0", DRAIN_TIMEOUT="1")
instance.start()
print(instance.pid, flush=True)
time.sleep(600)
"""


def test_an_instance_ends_with_whoever_started_it(tmp_path):
    command = [sys.executable, "-c", STARTED, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as starter:
        pid = int(starter.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        starter.send_signal(signal.SIGKILL)
    until(lambda: not _runs(pid), "the instance is gone")


def _runs(pid):
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
