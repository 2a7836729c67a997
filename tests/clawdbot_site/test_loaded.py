"""What a web worker loads when it starts: every library takes memory of every worker, whether it is used or not."""

import os
import subprocess
import sys

import pytest

START = """
import sys
import django
django.setup()
from clawdbot_site.management.commands import webserver
webserver.create()
print(*sys.modules)
"""
# Loaded where they are first needed: for one setting, one plugin, one kind of model, a console's pages, a command.
NOT_YET = (
    "aiohttp", "boto3", "botocore", "fasttext", "fido2", "google.cloud", "grpc", "hypothesis", "langid", "numpy",
    "opentelemetry.exporter", "pandas", "pymysql", "pypinyin", "pytest", "rich", "scipy", "sklearn", "sqlalchemy",
    "sqlglot", "structlog", "tiktoken", "tokenizers", "torch", "transformers", "twisted", "unfold.admin",
)  # fmt: skip


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("var")
    settings = {"VAR_DIR": str(folder), "ENV_FILE": "", "DJANGO_SETTINGS_MODULE": "clawdbot_site.settings"}
    started = subprocess.run(
        [sys.executable, "-c", START],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return set(started.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("name", NOT_YET)
def test_a_worker_does_not_load(name, loaded):
    assert name not in loaded


def test_a_worker_loads_what_every_request_needs(loaded):
    assert {"clawdbot_site.wiring", "engine.http1", "ahocorasick_rs", "orjson"} <= loaded
