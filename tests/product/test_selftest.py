"""`manage.py selftest audit`, in its smallest form on each database, and that it can say no."""

import subprocess
import sys

import pytest

from clawdbot_site.selftest import audit
from clawdbot_site.selftest.ledger import Ledger, Line, Verdict
from tests.product.running import ROOT


@pytest.mark.parametrize("options", [["postgresql"], ["postgresql", "--spool"], ["sqlite"]], ids=" ".join)
def test_it_finds_every_answer_after_kill_9(options):
    command = [sys.executable, "manage.py", "selftest", "audit", "--rounds", "2", "--clients", "8", "--database"]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=110)
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
