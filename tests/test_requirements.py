"""requirements.lock is what the requirements say, with the hash of every file."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tools import lock

ROOT = Path(__file__).parents[1]
TEXT = lock.LOCK.read_text()


def versions(pins: lock.Pins) -> dict[str, str]:
    return {name: line.partition("==")[2].partition(";")[0].strip() for name, line in pins.items()}


def test_it_names_the_versions_of_the_requirements_and_no_others() -> None:
    asked = versions(lock.pins(ROOT / name for name in lock.SOURCES))
    assert versions(lock.pins([lock.LOCK])) == asked, "make lock"
    assert len(asked) > 100


def test_every_version_has_hashes_and_nothing_else_can_be_installed() -> None:
    blocks = re.split(r"\n(?=\S)", TEXT.partition("\n")[2].partition("\n")[2].strip())
    for block in blocks:
        first, *rest = block.split("\n")
        assert re.fullmatch(r"[\w.\-]+==[\w.+!]+(; .+)? \\", first), first
        assert rest and all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?", line) for line in rest), block
    assert "://" not in TEXT and "--index" not in TEXT and "--find-links" not in TEXT


def test_what_one_machine_lacks_is_asked_for_on_the_other() -> None:
    wanted = {"both": "both==1", "one": 'one==2; sys_platform == "linux"', "two": "two==3"}
    found = {"x86_64": {name: {"a" * 64} for name in wanted}, "aarch64": {"both": {"b" * 64}}}
    said = lock.text(wanted, found)
    assert f"both==1 \\\n    --hash=sha256:{'a' * 64} \\\n    --hash=sha256:{'b' * 64}\n" in said
    assert 'one==2; (sys_platform == "linux") and (platform_machine == "x86_64") \\\n' in said
    assert 'two==3; platform_machine == "x86_64" \\\n' in said


def audited(folder: Path, program: str, *, installed: bool = True) -> subprocess.CompletedProcess[str]:
    """What tools/audit.sh makes of a pip-audit that does this; not `installed`: and that cannot be had."""
    for each in ("tools", "bin", ".venv-audit/bin"):
        (folder / each).mkdir(parents=True)
    (folder / "tools" / "audit.sh").write_text((ROOT / "tools" / "audit.sh").read_text())
    for name in ("bin/python3", ".venv-audit/bin/pip-audit" if installed else "bin/pip-audit"):
        (folder / name).write_text(f"#!/bin/sh\n{program}\n")
        (folder / name).chmod(0o755)
    path = f"{folder / 'bin'}:/usr/bin:/bin"
    command = ["/bin/bash", "tools/audit.sh"]
    return subprocess.run(command, cwd=folder, env={"PATH": path}, capture_output=True, text=True)


def test_an_audit_that_finds_nothing_passes(tmp_path: Path) -> None:
    told = audited(tmp_path, 'case "$*" in *--strict*) echo "No known vulnerabilities found" >&2;; *) exit 9;; esac')
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith("Nothing is known against") and told.stdout.count("\n") == 1


def test_an_audit_that_finds_something_fails(tmp_path: Path) -> None:
    told = audited(tmp_path, 'echo "Found 2 known vulnerabilities in 1 package" >&2; exit 1')
    assert told.returncode == 1 and "Found 2 known" in told.stderr


@pytest.mark.parametrize("installed", [True, False])
def test_an_audit_that_cannot_be_made_says_so_in_a_line(tmp_path: Path, installed: bool) -> None:
    """No network, or a list that does not know a package: neither a pass nor a traceback."""
    said = "ERROR:pip_audit._cli:yarl: Dependency not found and could not be audited"
    told = audited(
        tmp_path, f'echo "No known vulnerabilities found" >&2; echo "{said}" >&2; exit 1', installed=installed
    )
    assert told.returncode == 2
    assert told.stderr.startswith("The audit could not be made: ") and told.stderr.count("\n") == 1


@pytest.mark.parametrize(("written", "name"), [("Foo_Bar.baz", "foo-bar-baz"), ("PyYAML", "pyyaml"), ("a--b", "a-b")])
def test_names_are_compared_as_an_index_compares_them(written: str, name: str) -> None:
    assert lock.normal(written) == name
