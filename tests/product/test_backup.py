"""The restore drill: everything is lost but the backup and the master key, and everything is there again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.product.running import Product, until
from tests.product.upstreams import upstream_in_thread

pytestmark = pytest.mark.server

STATE = (
    "from compliance.journal.reader import entries\n"
    "value = [list(row) for row in entries().everywhere().filter(kind__in=['intent', 'completion'])"
    ".order_by('turn_id', 'kind').values_list('turn_id', 'kind', 'state', 'session_id')]"
)
ARCHIVE = (
    "from access import archiving\n"
    "import time\n"
    "told = archiving.archive(now=lambda: time.time() + 7200)\n"
    "value = told.archived"
)


def talk(http, session_id=None) -> str:
    body = {"message": f"canary after {session_id}", **({"session_id": session_id} if session_id else {})}
    answer = http.post("/api/chat", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["session_id"]


def wholes(http, ids) -> dict[str, dict]:
    found = {each: http.get(f"/api/sessions/{each}").json() for each in ids}
    return {each: whole.get("error", {}).get("code") or whole for each, whole in found.items()}


def test_everything_is_there_again_after_all_was_lost(tmp_path: Path):
    with upstream_in_thread() as model:
        settings = {"MODEL_ENDPOINT": model.url, "CHECKPOINT_SECONDS": "1"}
        with Product(tmp_path / "var", **settings).up() as product:
            http = product.http()
            key = product.key
            ids = [talk(http) for _ in range(4)]
            assert product.operate(ARCHIVE) == 4
            kept = [talk(http, ids[0]), ids[1], ids[2], ids[3], talk(http)]
            http.patch(f"/api/sessions/{ids[1]}", json={"name": "second"})
            http.delete(f"/api/sessions/{ids[2]}")
            until(lambda: product.manage("audit", "verify").returncode == 0, "the journal is folded")
            made = product.manage("backup", "--to", str(tmp_path / "backups"))
            assert made.returncode == 0 and "NOT inside" in made.stdout, made.stderr
            refused = product.manage("restore", str(next((tmp_path / "backups").glob("*.gz"))), "--force")
            assert refused.returncode == 1 and "Already running" in refused.stderr
            before, journal = wholes(http, kept), product.operate(STATE)
            listed = http.get("/api/sessions").json()["sessions"]
            http.close()
        (file,) = (tmp_path / "backups").glob("clawdbot-*.tar.gz")
        assert b"canary" not in file.read_bytes() and [file] == list((tmp_path / "backups").iterdir())
        secrets = {name: (tmp_path / "var" / name).read_text() for name in ("master_key", "signing_key", "secret_key")}
        bootstrap = (tmp_path / "var" / "bootstrap.json").read_text()
        shutil.rmtree(tmp_path / "var")

        product = Product(tmp_path / "var", **settings)
        refused = product.manage("restore", str(file))
        assert refused.returncode == 1 and "MASTER_KEY is not the one" in refused.stderr
        for name, content in secrets.items():
            (tmp_path / "var" / name).write_text(content)
        restored = product.manage("restore", str(file))
        assert restored.returncode == 0, restored.stderr
        refused = product.manage("restore", str(file))
        assert refused.returncode == 1 and "--force" in refused.stderr
        (tmp_path / "var" / "bootstrap.json").write_text(bootstrap)
        with product.up():
            http = product.http(key)
            assert product.operate(STATE) == journal
            names = {one["session_id"] for one in http.get("/api/sessions").json()["sessions"]}
            assert names == {one["session_id"] for one in listed}
            after = wholes(http, kept)
            assert after == before and after[ids[2]] == "session_not_found"
            assert talk(http, ids[3]) == ids[3]
            until(lambda: product.manage("audit", "verify").returncode == 0, "the journal verifies")
            http.close()
