"""The example of `docs/plugins.md` is a package that works, and the page names what there is."""

import asyncio
import importlib
import re
import sys
import tomllib
from pathlib import Path

import pytest

from plugins import base, hooks, registry
from tests.plugins.turns import chain, pre, said

PAGE = Path(__file__).resolve().parents[2] / "docs" / "plugins.md"
FILES = dict(re.findall(r"^`([\w.]+)`\n\n```\w+\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL))

OURS = {"answered", "asked", "left"}  # how a hook's wishes are kept for the chain


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The example as pip would leave it: its modules and its entry points on the path."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    project = tomllib.loads(FILES["pyproject.toml"])["project"]
    info = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = [f"{name} = {target}" for name, target in project["entry-points"][registry.GROUP].items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{registry.GROUP}]", *lines, ""]))
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    registry.forget()
    yield
    registry.forget()
    for name in FILES:
        sys.modules.pop(name.removesuffix(".py"), None)


def test_it_has_three_files():
    assert set(FILES) == {"pyproject.toml", "clawdbot_glossary.py", "test_clawdbot_glossary.py"}


def test_it_is_found_and_runs(package):
    glossary = registry.get("glossary")
    settings = registry.read_settings(glossary, {"terms": {"PTO": "paid time off"}, "footer": "See the handbook."})
    with pytest.raises(registry.InvalidSettings):
        registry.read_settings(glossary, {"terms": ["PTO"]})

    async def turn(text):
        run = await pre(chain(glossary(settings)), text)
        return run, (await run.post(said("Ten days.")))[0].message.content

    run, answer = asyncio.run(turn("How much PTO is left?"))
    assert [message.content for message in run.messages] == ["PTO: paid time off", "How much PTO is left?"]
    assert run.features == {"jargon": True}
    assert answer == "Ten days.\n\nSee the handbook."
    run, answer = asyncio.run(turn("How many days are left?"))
    assert (run.touched, answer) == (False, "Ten days.")


def test_it_passes_its_own_test(package):
    importlib.import_module("test_clawdbot_glossary").test_it_explains_what_a_question_mentions()


def test_it_names_every_hook_and_everything_a_hook_is_given():
    page = PAGE.read_text()
    classes = (base.TurnContext, base.TurnResponse, base.TurnDelta)
    given = [name for cls in classes for name in vars(cls) if not name.startswith("_") and name not in OURS]
    hooks = [name for name in vars(base.PluginBase) if not name.startswith("_") and name != "label"]
    assert [name for name in (*given, *hooks, *registry.names()) if not re.search(rf"[`.]{name}\b", page)] == []


def test_it_names_every_outcome():
    page = PAGE.read_text().partition("## Counted and shown")[2]
    outcomes = set(re.findall(r"`(\w+)`[ ;(]", hooks.__doc__.partition("outcome:")[2]))
    assert len(outcomes) == 9
    assert outcomes == set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
