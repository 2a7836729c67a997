"""docs/security.md claims nothing without a test that is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from access.secure_pages import CONSOLE, DOCS, NOTHING, STRICT
from clawdbot_site import known_secrets

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`((?:tests/[\w/]+/)?test_\w+\.py)(?:::(\w+))?`", PAGE)))


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_the_tests_it_names_exist(file: str, name: str) -> None:
    found = [ROOT / file] if "/" in file else list((ROOT / "tests").rglob(file))
    assert len(found) == 1 and found[0].exists()
    assert not name or f"def {name}(" in found[0].read_text(encoding="utf-8")


def test_every_defence_has_a_reference() -> None:
    rows = [row for row in PAGE.splitlines() if re.match(r"\| [STRIDE, ]+ \|", row)]
    assert len(rows) > 20
    assert not re.findall(r"`tests/[\w/]*`", PAGE)  # a folder shows nothing
    assert [row for row in rows if not re.search(r"`tests/|`test_|`selftest|\]\(\w+\.md", row.rsplit("|", 2)[1])] == []


def test_it_says_which_policies_have_exceptions() -> None:
    assert "unsafe" not in STRICT + NOTHING
    assert set(re.findall(r"'(unsafe-\w+)'", CONSOLE)) == {"unsafe-eval", "unsafe-inline"}
    assert set(re.findall(r"'(unsafe-\w+)'", DOCS)) == {"unsafe-inline"}
    assert "'unsafe-inline'" not in CONSOLE.partition("style-src")[0]
    table = PAGE.partition("| pages | beyond")[2].partition("\n\n")[0]
    assert table.count("unsafe-eval") == 1 and table.count("unsafe-inline") == 2


def test_the_numbers_of_the_start_are_those_of_the_code() -> None:
    assert f"shorter than {known_secrets.SHORTEST} characters" in PAGE
    assert f"from {known_secrets.SHORTEST_TOKEN} on" in PAGE and known_secrets.FEWEST == 6


def test_it_names_each_command_that_starts_with_whatever_secrets() -> None:
    bare = {
        name
        for name, app in get_commands().items()
        if isinstance(app, str) and (ROOT / app.replace(".", "/")).is_dir()
        if not load_command_class(app, name).requires_system_checks
    }
    assert bare - {"up"} == set(
        re.findall(r"`(\w+)`", PAGE.partition("The exceptions are ")[2].partition(", which")[0])
    )
