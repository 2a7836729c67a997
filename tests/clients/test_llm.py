"""The command line `llm` against the running product: streaming with usage, and a schema."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.adapters.upstream import Upstream, by_stream, events, streamed, whole
from tests.product.running import Product
from tests.product.upstreams import ANSWER

pytestmark = pytest.mark.server


@pytest.fixture
def home(tmp_path: Path, gateway: Product) -> Path:
    (tmp_path / "extra-openai-models.yaml").write_text(
        json.dumps(
            [
                {
                    "model_id": "gateway",
                    "model_name": "scripted",
                    "api_base": f"{gateway.url}/v1",
                    "api_key_name": "gateway",
                    "supports_schema": True,
                }
            ]
        )
    )
    (tmp_path / "keys.json").write_text(json.dumps({"gateway": gateway.key}))
    return tmp_path


def ask(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "LLM_USER_PATH": str(home), "LLM_LOAD_PLUGINS": ""}
    command = [sys.executable, "-m", "llm", "-m", "gateway", *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
    )


@pytest.mark.parametrize("how", [[], ["--no-stream"]])
def test_it_answers_with_usage(home: Path, upstream: Upstream, how: list[str]) -> None:
    upstream.answers(whole(ANSWER), streamed(events("The", ANSWER.removeprefix("The"))), choose=by_stream)
    ran = ask(home, "-u", *how, "Hi")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == ANSWER
    assert "7 input" in ran.stderr and "2 output" in ran.stderr


def test_it_answers_by_a_schema(home: Path, upstream: Upstream) -> None:
    said = '{"city": "Paris", "country": "France"}'
    upstream.answers(whole(said), streamed(events(said)), choose=by_stream)
    ran = ask(home, "--schema", "city, country", "Where?")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == json.loads(said)
    assert upstream.requests[-1].json["response_format"]["type"] == "json_schema"


def test_it_says_what_was_refused(home: Path, upstream: Upstream) -> None:
    ran = ask(home, "-o", "temperature", "1.5", "-o", "max_tokens", "0", "Hi")
    assert ran.returncode == 1 and "max_tokens" in ran.stderr
