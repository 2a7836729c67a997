"""What the page of troubles names is there, and whatever an operator may be told has its line."""

import re
from pathlib import Path

import pytest
from django.core.management import get_commands

ROOT = Path(__file__).parents[1]
PAGES = {name: (ROOT / "docs" / name).read_text() for name in ("troubleshooting.md", "troubleshooting.zh-CN.md")}
CODES = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/errors.md").read_text(), re.MULTILINE))
SETTINGS = set(re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs/settings.md").read_text(), re.MULTILINE))
# Of these the caller is told all there is to do.
CALLERS = {
    "invalid_request", "otp_required", "tenant_required", "not_supported", "previous_response_not_found",
    "not_found", "turn_not_found", "version_not_found", "method_not_allowed", "conflict", "cancelled",
    "deadline_exceeded", "idempotency_running", "visitors_off", "tenant_suspended",
}  # fmt: skip
SOURCES = "\n".join(
    path.read_text()
    for folder in ("access", "clawdbot_site", "compliance", "engine", "tenants")
    for path in (ROOT / folder).rglob("*.py")
)


@pytest.mark.parametrize("name", PAGES)
def test_every_code_with_something_to_do_has_its_line(name):
    named = {word for word in re.findall(r"`(\w+)`", PAGES[name]) if word in CODES}
    assert CODES - CALLERS - named == set()


@pytest.mark.parametrize("name", PAGES)
def test_its_settings_and_commands_exist(name):
    page = PAGES[name]
    capitals = set(re.findall(r"`([A-Z][A-Z_]{3,})\b", page))
    assert capitals - SETTINGS == {"POST"} & capitals
    commands = set(re.findall(r"`manage\.py (\w+)", page))
    assert commands <= set(get_commands())
    assert {"storehealth", "audit", "backup", "restore"} <= commands


@pytest.mark.parametrize("name", PAGES)
def test_the_lines_it_quotes_are_said(name):
    quoted = [
        said.strip("… ") for said in re.findall(r'"([^"{}]+)"', PAGES[name]) if " " in said and said[0] not in "&"
    ]
    pieces = [piece.strip() for said in quoted for piece in said.split("…") if piece.strip()]
    assert [piece for piece in pieces if piece not in SOURCES and piece not in WORDS] == []
    assert len(pieces) > 4


WORDS = {"Why this model?"}  # of the web chat


def test_both_languages_tell_the_same():
    english, chinese = (set(re.findall(r"`([a-z_]+_[a-z_]+|[A-Z_]{4,})`", page)) for page in PAGES.values())
    assert english == chinese
