"""Every claim of the READMEs has a command, every command exists, and the page is what the kept runs make."""

import importlib.util
import re
import subprocess
import sys

import msgspec
import pytest

from benchmarks import report
from benchmarks.claims import BY_NAME, CLAIMS, MANAGE, MODULE, Claim
from benchmarks.machine import ROOT, machine
from benchmarks.report import KEPT, PAGE, Run, kept, page
from benchmarks.soak import RUNS

READMES = ("README.md", "README.zh-CN.md")
SHOWN = re.compile(r"`python -m benchmarks\.report ([\w.-]+)`")
FIGURE = re.compile(r"\d[\d,.]*\s*(?:requests/s|µs|ms|%|MiB|GiB|KiB|turns/s|chunks|calls/s|a second|每秒|毫秒|微秒)")
ROWS = [
    {"name": "/v1, everything on", "rate": 7000.0, "unit": "requests", "cpu": 100.0, "core": 0.9, "wait": 0.0},
    {"name": "/v1, with a session", "rate": 10.0, "unit": "requests", "cpu": 200.0, "core": 0.9, "wait": 0.0},
    {"name": "Portkey, /v1", "rate": 3500.0, "unit": "requests", "cpu": 300.0, "core": 0.9, "wait": 0.0},
    {"name": "Other, /v1", "rate": 70.0, "unit": "requests", "cpu": 5000.0, "core": 0.9, "wait": 0.0},
]


def run_of(claim: Claim, **changed) -> Run:
    given = {
        "name": claim.name,
        "command": "python x",
        "machine": machine(),
        "seconds": 1.0,
        "load": 0.0,
        "code": 0,
        "output": "said",
    }
    return Run(**{**given, **changed})


@pytest.mark.parametrize("readme", READMES)
def test_every_claim_stands_in_the_readme_with_its_command(readme):
    assert SHOWN.findall((ROOT / readme).read_text()) == [claim.name for claim in CLAIMS]


@pytest.mark.parametrize("readme", READMES)
def test_the_readme_has_no_figure_that_was_typed(readme):
    assert FIGURE.findall((ROOT / readme).read_text()) == []


@pytest.mark.parametrize("claim", CLAIMS, ids=BY_NAME)
def test_its_command_exists_and_its_page_too(claim):
    assert (ROOT / "docs" / claim.page).exists()
    for command in (claim.command, claim.quick):
        if command[0] == MODULE:
            assert importlib.util.find_spec(command[1]) is not None
        else:
            assert command[0] == MANAGE
            folder = "management/commands"
            assert list(ROOT.glob(f"*/{folder}/{command[1]}.py"))
        if command[1] == "benchmarks.soak":
            assert command[2] in RUNS
        for path in (part for part in command if part.startswith("tests/")):
            assert (ROOT / path).exists()


def test_the_page_is_what_the_kept_runs_make():
    assert PAGE.read_text() == page(kept())
    assert {file.stem for file in KEPT.glob("*.json")} <= set(BY_NAME)


def test_a_table_says_what_was_aimed_at_and_how_much_others_take():
    rows = [{**row, "p50": 1.0, "p99": 2.0} for row in ROWS]
    figures = {"rows": rows, "figures": {"added at concurrency 1, p50": 3.0, "added at half load, p99": 4.0}}
    figures["figures"] |= {"MiB idle": 90.0, "half load, requests a second": 3500.0}
    text = page([run_of(BY_NAME["peers"], figures=figures)])
    assert "| 7,000 requests | 100 | 90% | 0% | 1.0 | 2.0 | 6,000: met |" in text
    assert "3,000: missed" in text
    assert "| added at concurrency 1, p50 | 3.00 ms | at most 1: missed |" in text
    assert "| added at half load, p99 | 4.00 ms | at most 5: met |" in text
    assert "| MiB idle | 90.00 |  |" in text
    assert "| half load, requests a second | 3,500.00 |  |" in text
    assert "| Other, /v1 | 50.0 times ours | 100.0 |  |" in text
    assert "| Portkey, /v1 | 3.0 times ours | 2.0 | 8: missed |" in text


def test_a_run_that_fails_is_called_so():
    text = page([run_of(BY_NAME["guard"], code=3)])
    assert "did not hold" in text
    assert "did not hold" not in page([run_of(BY_NAME["guard"])])


def test_an_output_has_no_path_of_the_machine(monkeypatch, tmp_path):
    said = f"{ROOT}/tests/x.py\n..F. [ 50%]\n{tmp_path}/var is there\n\x1b[1mend\x1b[0m\n"
    assert report._fit_to_print(said) == "tests/x.py\n… is there\nend"


def test_an_unknown_name_is_refused_and_a_small_form_never_becomes_the_page():
    for arguments in (["nothing"], ["guard", "--quick"]):
        ended = subprocess.run([sys.executable, "-m", "benchmarks.report", *arguments], cwd=ROOT, capture_output=True)
        assert ended.returncode == 2


@pytest.mark.server
def test_a_small_form_runs_and_is_kept(tmp_path):
    command = [sys.executable, "-m", "benchmarks.report", "audit-tamper", "--quick", "--into", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stdout
    (run,) = kept(tmp_path)
    assert (run.name, run.code) == ("audit-tamper", 0)
    assert "40" in run.output
    assert run.output in (tmp_path / "benchmarks.md").read_text()
    assert msgspec.json.decode((tmp_path / "audit-tamper.json").read_bytes())["machine"]["cores"] >= 1
