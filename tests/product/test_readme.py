"""The examples of both READMEs, run as they stand against a running product."""

import os
import re
import subprocess
import sys

import pytest

from tests.product.running import COMMAND_TIME, ROOT, Product
from tests.test_docs import code_blocks

README = ["README.md", "README.zh-CN.md"]


def example(page: str, language: str, word: str) -> str:
    (found,) = [text for kind, text in code_blocks(page) if kind == language and word in text]
    return found


def here(product: Product, text: str) -> str:
    """The example for this product's address and folder."""
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{product.port}")
    text = text.replace("127.0.0.1:8001", product.access["grpc_target"])
    return text.replace("var/bootstrap.json", str(product.folder / "bootstrap.json"))


def run(product: Product, *command: str) -> str:
    environment = {**product.environment, "NO_PROXY": "127.0.0.1", "PYTHONIOENCODING": "utf-8"}
    environment["PYTHONPATH"] = str(ROOT / "sdk/python")  # in place of installing it
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=COMMAND_TIME)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("page", README)
def test_its_shell_lines_work(local: Product, page):
    answer = run(local, "bash", "-euc", here(local, example(page, "sh", "/api/chat")))
    assert re.search(r'"session_id":\s*"[0-9a-f]{32}"', answer)
    assert re.search(r'"role":\s*"assistant"', answer)


@pytest.mark.parametrize("page", README)
@pytest.mark.parametrize("word", ["OpenAI", "websockets", "GrpcClient"])
def test_its_python_examples_work(local: Product, page, word):
    program = f"KEY = {local.key!r}\n" + here(local, example(page, "python", word))
    assert run(local, sys.executable, "-c", program).strip()


def test_its_commands_exist():
    for page in README:
        words = set(re.findall(r"^make (\w+)", example(page, "console", "make run"), re.MULTILINE))
        assert words == {"run", "test"}
        assert words <= set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert os.access(ROOT / "tools/venv.sh", os.X_OK)
