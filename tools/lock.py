"""`make lock`: writes requirements.lock, the hashes of every file that an image of the product may be installed from.

It asks pip, for each platform and each Python there may be an image with, which file of each pinned version it would
take, and writes down what it says. `pip install --no-deps --require-hashes -r requirements.lock` then takes these files
and no others, whatever an index or a mirror serves. A test holds names and versions to the requirements.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
LOCK: Final = ROOT / "requirements.lock"
SOURCES: Final = ("requirements.txt", "requirements-localmodel.txt", "requirements-vectors.txt")
PYTHONS: Final = ("3.11", "3.12", "3.13")
MACHINES: Final = ("x86_64", "aarch64")
GLIBCS: Final = ("manylinux_2_34", "manylinux_2_31", "manylinux_2_28", "manylinux_2_24", "manylinux_2_17",
                 "manylinux2014", "manylinux2010", "manylinux1")  # fmt: skip
MISSING: Final = re.compile(r"No matching distribution found for (\S+?)==")
HEAD: Final = """\
# Written by `make lock`; do not edit. What the requirements pin, with the SHA-256 of each wheel for Linux on x86_64 and
# aarch64. To install: pip install --no-deps --require-hashes -r requirements.lock
"""

Found = dict[str, dict[str, set[str]]]  # hashes by machine and name
Pins = dict[str, str]  # by names as they are compared: what stands in the file, without its reason


def pins(files: Iterable[Path]) -> Pins:
    """Of requirement files whose lines are pinned."""
    found: Pins = {}
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            written = re.sub(r"\s+#.*|^#.*|\s*\\$|\s*--hash=\S+", "", line).strip()
            if "==" in written:
                found[normal(written.partition("==")[0])] = re.sub(r"\s*;\s*", "; ", written)
    return found


def normal(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def hashes(wanted: Pins, machine: str, python: str) -> dict[str, set[str]]:
    """By name, the hash of the wheel pip would take there. What has none there is said, and left out."""
    wanted = dict(wanted)
    while True:
        with tempfile.TemporaryDirectory() as folder:
            told = _ask(wanted, machine, python, Path(folder))
            if told.returncode == 0:
                return _read(Path(folder) / "report.json")
        missing = {normal(name) for name in MISSING.findall(told.stderr)} & set(wanted)
        if not missing:
            raise SystemExit(told.stderr.strip())
        for name in sorted(missing):
            say(f"{wanted.pop(name)}: no wheel for Python {python} on {machine}")


def _ask(wanted: Pins, machine: str, python: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "pins.txt").write_text("\n".join(wanted.values()) + "\n", encoding="utf-8")
    platforms = [word for glibc in GLIBCS for word in ("--platform", f"{glibc}_{machine}")]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps", "--ignore-installed",
               "--only-binary", ":all:", "--python-version", python, *platforms, "--target", str(folder / "nothing"),
               "--report", str(folder / "report.json"), "--requirement", str(folder / "pins.txt")]  # fmt: skip
    # files that lie about on this machine are not what others are served
    environment = {name: value for name, value in os.environ.items() if name != "PIP_FIND_LINKS"}
    environment |= {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603


def _read(report: Path) -> dict[str, set[str]]:
    installs = json.loads(report.read_text(encoding="utf-8"))["install"]
    return {
        normal(each["metadata"]["name"]): {each["download_info"]["archive_info"]["hashes"]["sha256"]}
        for each in installs
    }


def text(wanted: Pins, found: Found) -> str:
    """What has no file for a machine is asked for on the other ones only."""
    lines = []
    for name in sorted(wanted):
        there = [machine for machine in found if name in found[machine]]
        files = sorted({each for machine in there for each in found[machine][name]})
        line = wanted[name]
        if len(there) < len(found):
            only = " or ".join(f'platform_machine == "{machine}"' for machine in there)
            version, _, marker = line.partition("; ")
            line = f"{version}; ({marker}) and ({only})" if marker else f"{version}; {only}"
        lines.append(" \\\n".join([line, *(f"    --hash=sha256:{each}" for each in files)]) + "\n")
    return HEAD + "".join(lines)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    wanted = pins(ROOT / name for name in SOURCES)
    found: Found = {machine: {} for machine in MACHINES}
    for machine, own in found.items():
        for python in PYTHONS:
            for name, files in hashes(wanted, machine, python).items():
                own.setdefault(name, set()).update(files)
    bare = sorted(set(wanted).difference(*found.values()))
    if bare:
        say(f"No wheel anywhere: {', '.join(bare)}")
        return 1
    LOCK.write_text(text(wanted, found), encoding="utf-8")
    say(f"{LOCK.name}: {len(wanted)} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
