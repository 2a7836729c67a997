"""docs/settings.md and .env.example name every setting there is, and no other."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
READERS = {"choice", "text", "flag", "whole", "seconds", "words", "secret", "origins", "url"}


def names_read() -> set[str]:
    """The first argument of every `env.…("NAME")` in settings.py."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / "clawdbot_site/settings.py").read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in READERS:
            if isinstance(node.func.value, ast.Name) and node.func.value.id == "env":
                names.add(node.args[0].value)
    return names


def test_it_documents_every_setting_and_no_other():
    documented = set(re.findall(r"^\| `([A-Z_]+)`", (ROOT / "docs/settings.md").read_text(), re.MULTILINE))
    assert documented == names_read()


def test_it_ships_every_setting_as_a_comment():
    shipped = re.findall(r"^#([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert set(shipped) == names_read()
    assert len(shipped) == len(set(shipped))


def test_its_example_sets_nothing():
    lines = (ROOT / ".env.example").read_text().splitlines()
    assert all(not line or line.startswith("#") for line in lines)


def test_only_the_settings_read_the_environment():
    readers = {
        str(file.relative_to(ROOT))
        for folder in (
            "clawdbot_site",
            "access",
            "tenants",
            "routing",
            "sessions_app",
            "plugins",
            "compliance",
            "adapters",
            "engine",
        )
        for file in (ROOT / folder).rglob("*.py")
        if re.search(r"os\.(environ|getenv)", file.read_text())
    }
    allowed = {
        "clawdbot_site/env.py",  # what settings.py reads with
        "clawdbot_site/asgi.py",  # names the settings module, as every Django project does
        "clawdbot_site/celery.py",
        "clawdbot_site/serving/processes.py",  # hands its own down to its children
        "clawdbot_site/selftest/instance.py",  # the same
        "access/management/commands/replayrules.py",  # ${NAME} in a configuration file is the environment by contract
        "routing/management/commands/loadconfig.py",
    }
    assert readers <= allowed
