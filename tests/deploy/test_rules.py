"""deploy/prometheus: the rules load, every alert fires where it should and keeps still where it should, and has its
section in docs/alerts.md."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
TESTS = sorted(FOLDER.glob("tests/*.yml"))
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="there is no promtool (Debian: apt-get install prometheus)"
)


def _alerts():
    groups = yaml.safe_load((FOLDER / "clawdbot.rules.yml").read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def _promtool(*arguments):
    done = subprocess.run(["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr


def _expected():
    """By alert, the numbers of it that tests demand to fire."""
    found = {}
    for file in TESTS:
        for test in yaml.safe_load(file.read_text())["tests"]:
            for asked in test["promql_expr_test"]:
                name = re.search(r'alertname="(\w+)"', asked["expr"])[1]
                found.setdefault(name, set()).update(each["value"] for each in asked["exp_samples"])
    return found


@needs_promtool
def test_it_loads():
    _promtool("check", "rules", "clawdbot.rules.yml")
    _promtool("check", "config", "--syntax-only", "prometheus.yml")


@needs_promtool
@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_each_alert_fires_where_it_should(file):
    _promtool("test", "rules", f"tests/{file.name}")


def test_each_alert_is_tested_firing_and_keeping_still():
    assert _expected() == {name: {0, 1} for name in _alerts()}


@pytest.mark.parametrize("name", _alerts())
def test_each_alert_says_what_to_do(name):
    rule = _alerts()[name]
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    page, _, section = rule["annotations"]["runbook_url"].partition("#")
    assert section == name.lower()
    text = (ROOT / page).read_text()
    assert f"\n### {name}\n" in text


def test_no_section_is_left_over():
    sections = re.findall(r"^### (Clawdbot\w+)$", (ROOT / "docs" / "alerts.md").read_text(), re.MULTILINE)
    assert sorted(sections) == sorted(_alerts())
