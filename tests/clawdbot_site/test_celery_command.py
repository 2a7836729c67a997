"""The command line of Celery, which reads the environment by itself."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.services.valkey import ValkeyServer


def test_a_broker_on_a_unix_socket_is_understood(tmp_path):
    server = ValkeyServer(tmp_path / "server")
    server.start()
    environment = {**os.environ, "ENV_FILE": "", "VAR_DIR": str(tmp_path / "var"), "BROKER_URL": f"{server.url}?db=1"}
    environment.pop("DJANGO_SETTINGS_MODULE")  # as whoever types the command has it, and as containers run it
    command = [sys.executable, "-m", "celery", "-A", "clawdbot_site", "inspect", "ping", "--timeout", "0.2"]
    try:
        told = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    finally:
        server.kill()
    assert "No nodes replied" in told.stdout + told.stderr  # it asked, and nobody works there
