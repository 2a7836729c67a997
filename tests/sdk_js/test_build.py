"""What is served is what is built from the sources, small and typed; the SDK's own tests pass."""

import gzip
import os
import subprocess
from pathlib import Path

import pytest

from tests.sdk_js.conftest import PACKAGE, SDK

LARGEST = 8 * 1024  # bytes of a script, compressed
FILES = ("clawdbot.d.ts", "clawdbot.global.js", "clawdbot.js")
CONSUMER = """
import { Clawdbot, ClawdbotError, type Session, type Turn, type TurnEvent } from "./clawdbot";

const client = new Clawdbot({ token: Clawdbot.visitor({ tenant: "shop", store: null }), language: "en" });
const stop: () => void = client.on("state", (state) => state === "waiting");
const turn: Turn = client.chat({ message: "Hi" }, { signal: undefined });
export async function read(): Promise<string> {
  for await (const event of turn) {
    if (event.type === "start") event.session_id?.length;
    else if (event.type === "delta") event.content?.length;
    else event.usage.total_tokens.toFixed();
  }
  const session: Session = await client.sessions.read("s");
  stop();
  return session.context_stack[0]?.role ?? (await turn.text());
}
export const code = (error: unknown): string => (error instanceof ClawdbotError ? error.code : "");
export const kind = (event: TurnEvent): "start" | "delta" | "done" => event.type;
// @ts-expect-error there is no such field
client.nothing;
// @ts-expect-error a turn is made by a client
new Turn();
"""


class Npm:
    """The tools of `sdk/js`, run with the Node of the wheel."""

    def __init__(self, node: str) -> None:
        self._node = node

    def run(self, tool: str, *arguments: str) -> str:
        node = Path(self._node)
        environment = {"PATH": f"{node.parent}:{os.environ['PATH']}", "HOME": os.environ.get("HOME", "/"), "CI": "1"}
        command = [self._node, str(PACKAGE / "node_modules" / tool), *arguments]
        done = subprocess.run(command, cwd=PACKAGE, env=environment, capture_output=True, text=True, timeout=110)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def npm(node: str) -> Npm:
    if not (PACKAGE / "node_modules/vite").exists():
        pytest.skip("the npm packages of sdk/js are missing (tools/node.sh sdk/js installs them)")
    return Npm(node)


def test_what_is_served_is_what_is_built(npm: Npm, tmp_path: Path):
    for mode in ("production", "global"):
        npm.run("vite/bin/vite.js", "build", "--mode", mode, "--outDir", str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in SDK.iterdir())
    for name in FILES:
        told = "run `npm run build` in sdk/js"
        assert (tmp_path / name).read_bytes() == (SDK / name).read_bytes(), told


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".js")])
def test_it_is_small(name: str):
    assert len(gzip.compress((SDK / name).read_bytes())) < LARGEST


def test_its_types_need_nobody_elses(npm: Npm, tmp_path: Path):
    """A program that uses it compiles without the types of the DOM and of Node, and mistakes in it do not."""
    (tmp_path / "clawdbot.d.ts").write_bytes((SDK / "clawdbot.d.ts").read_bytes())
    (tmp_path / "consumer.ts").write_text(CONSUMER)
    options = "--ignoreConfig --noEmit --strict --target es2020 --module esnext --moduleResolution bundler --lib es2020"
    npm.run("typescript/bin/tsc", *options.split(), "--types", "", str(tmp_path / "consumer.ts"))


def test_its_sources_have_no_mistakes_of_type(npm: Npm):
    npm.run("typescript/bin/tsc", "--noEmit")


def test_its_own_tests_pass(npm: Npm):
    npm.run("vitest/vitest.mjs", "run")


def test_its_lock_names_no_registry():
    assert "resolved" not in (PACKAGE / "package-lock.json").read_text()
