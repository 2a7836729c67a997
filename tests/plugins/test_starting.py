"""`startplugin` begins a package that installs, is found and runs as it is; so does the example of docs/plugins.md."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from plugins import registry
from plugins.starting import CannotStart, names_of, start

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "clawdbot-glossary"
TURNS = """
import asyncio, json, os
import django
os.environ["DJANGO_SETTINGS_MODULE"] = "clawdbot_site.settings"
django.setup()
from plugins import registry
from tests.plugins.turns import chain, pre, said

GIVEN = {"begun": {"hint": "Be kind.", "footer": "Yours."}, "glossary": {"terms": {"PTO": "paid time off"}}}

async def turn(name):
    cls = registry.get(name)
    run = await pre(chain(cls(registry.read_settings(cls, GIVEN[name]))), "How much PTO?")
    answer = await run.post(said("Ten days."))
    return [message.content for message in run.messages], answer[0].message.content

found = [each for each in registry.extensions() if each.package]
print(json.dumps({"found": found, **{name: asyncio.run(turn(name)) for name in GIVEN}}))
"""


def run(*words: str, path: Path) -> str:
    """A process in which that folder is on the path. What it says."""
    given = {**os.environ, "PYTHONPATH": str(path), "PIP_NO_INDEX": "1"}
    given.pop("DJANGO_SETTINGS_MODULE", None)
    done = subprocess.run([sys.executable, *words], cwd=ROOT, env=given, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed a package that was just begun, and the example, without a network."""
    folder = tmp_path_factory.mktemp("plugins")
    begun, example, target = folder / "begun", folder / "example", folder / "site"
    start("begun", begun)
    shutil.copytree(EXAMPLE, example)
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--target", str(target))
    run("-m", "pip", "install", *options, str(begun), str(example), path=folder)
    return target


def test_they_are_found_and_run(installed: Path) -> None:
    told = json.loads(run("-c", TURNS, path=installed))
    assert sorted(told["found"]) == [
        ["begun", "clawdbot_begun:BegunPlugin", "begun", "clawdbot-begun", "0.1", ""],
        ["glossary", "clawdbot_glossary:GlossaryPlugin", "glossary", "clawdbot-glossary", "1.0", ""],
    ]
    assert told["begun"] == [["Be kind.", "How much PTO?"], "Ten days.\n\nYours."]
    assert told["glossary"] == [["PTO: paid time off", "How much PTO?"], "Ten days."]


@pytest.mark.parametrize("name", ["begun", "example"])
def test_they_pass_their_own_tests(installed: Path, name: str) -> None:
    said = run("-m", "pytest", "-q", str(installed.parent / name), path=installed)
    assert "passed" in said and "skipped" not in said


@pytest.mark.parametrize(
    "name",
    ["", "Glossary", "1st", "two words", "dash-ed", "class", "_x", "x_", "a__b", "../x", "é", "x" * 41, "x\n",
     "canned_answers", "site", "client"],
)  # fmt: skip
def test_it_refuses_what_is_no_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(CannotStart) as refused:
        start(name, tmp_path / "new")
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_it_names_things_after_it() -> None:
    assert names_of("tone_of_voice") == (
        "tone_of_voice", "Tone of voice", "clawdbot-tone-of-voice", "clawdbot_tone_of_voice", "ToneOfVoicePlugin"
    )  # fmt: skip


def test_it_touches_no_folder_that_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "deep" / "down"
    call_command("startplugin", "mine", str(folder))
    written = capsys.readouterr().out.splitlines()
    assert sorted(written) == sorted(str(path) for path in folder.iterdir())
    assert {path.name for path in folder.iterdir()} == {
        "README.md", "clawdbot_mine.py", "pyproject.toml", "test_clawdbot_mine.py"
    }  # fmt: skip
    for taken in (folder, folder / "README.md", folder / "README.md" / "deeper"):
        with pytest.raises(CommandError) as refused:
            call_command("startplugin", "mine", str(taken))
        assert "\n" not in str(refused.value)
    assert "mine" not in registry.names()
