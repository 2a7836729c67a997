"""The benchmark of the analysis makes what it says, in a small form."""

import os
import subprocess
import sys

import pytest


@pytest.mark.timeout(300)
def test_it_analyses_what_it_wrote(tmp_path):
    environment = {**os.environ, "VAR_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "clawdbot_site.settings"}
    command = [sys.executable, "-m", "benchmarks.analysis", "--entries", "5000"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "5000 entries of 4 tenants" in ran.stdout
