"""The shape of the code base, held by tests: which way imports point, and how long a module may grow."""

import subprocess
import sys
from pathlib import Path

from tests.conftest import LONGEST as LONGEST_TO_RUN

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 400
PACKAGES = (
    "access",
    "adapters",
    "clawdbot_site",
    "compliance",
    "engine",
    "plugins",
    "routing",
    "sessions_app",
    "tenants",
)


def modules():
    folders = [ROOT / name for name in (*PACKAGES, "tests", "benchmarks", "sdk")]
    for folder in folders:
        for path in folder.rglob("*.py"):
            if "migrations" not in path.parts and not path.name.endswith(("_pb2.py", "_pb2_grpc.py")):
                yield path


def test_it_keeps_modules_short():
    long = {
        str(path.relative_to(ROOT)): count
        for path in modules()
        if (count := len(path.read_text().splitlines())) > LONGEST
    }
    assert long == {}


def test_it_imports_one_way():
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_names_no_module_after_nothing():
    vague = {"utils.py", "helpers.py", "common.py", "manager.py", "core.py", "misc.py"}
    assert [str(path) for path in modules() if path.name in vague] == []


def test_the_files_that_are_run_first_are_there():
    assert [name for name in LONGEST_TO_RUN if not (ROOT / "tests" / name).is_file()] == []
