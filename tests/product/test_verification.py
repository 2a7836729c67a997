"""What a running product recorded can be verified within seconds, by itself and by a file on its own."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.product.running import ROOT, Product, until


@pytest.mark.server
def test_it_folds_signs_and_exports_what_it_records(tmp_path):
    with Product(tmp_path / "var", LOCAL_MODEL="off", CHECKPOINT_SECONDS="1").up() as product:

        def audit(*arguments: str) -> tuple[int, str]:
            command = [sys.executable, "manage.py", "audit", *arguments]
            done = subprocess.run(command, cwd=ROOT, env=product.environment, capture_output=True, text=True)
            return done.returncode, done.stdout + done.stderr

        assert product.ask("Hello").status_code == 200
        tenant = str(product.operate("value = Tenant.objects.get(slug='demo').pk"))
        folder = product.folder / "objects" / "checkpoints" / tenant
        until(lambda: (folder / f"{2:015d}.json").exists(), "the first turn is signed", 30)
        assert product.ask("Hello again").status_code == 200
        until(lambda: (folder / f"{4:015d}.json").exists(), "both turns are signed", 30)
        code, told = audit("verify")
        assert (code, told.splitlines()[-1]) == (0, "the journal holds"), told
        assert re.search(r"entries +4\nleaves +4\n", told)

        export, verifier = tmp_path / "export.jsonl", tmp_path / "verify_journal.py"
        export.write_text(audit("export", "--tenant", tenant)[1])
        verifier.write_text(audit("verifier")[1])
        key = audit("publickey")[1].strip()
        alone = [sys.executable, "-I", "-S", str(verifier), str(export), "--key", key]
        done = subprocess.run(alone, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "4 entries checked" in done.stdout
        assert '"checkpoint": 4' in (product.folder / "log" / "sequencer.log").read_text()
    assert product.processes() == []
