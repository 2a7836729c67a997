"""What a running product recorded can be verified within seconds, by itself and by a file on its own."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.product.running import ROOT, Product, until


def recorded(product: Product, tenant: str) -> int:
    """How many entries of the tenant there are: of turns, and of changes of its configuration."""
    counted = f"from compliance.journal.reader import entries; value = entries().for_tenant({tenant}).count()"
    return int(product.operate(counted))


@pytest.mark.server
def test_it_folds_signs_and_exports_what_it_records(tmp_path):
    with Product(tmp_path / "var", LOCAL_MODEL="off", CHECKPOINT_SECONDS="1").up() as product:

        def audit(*arguments: str) -> tuple[int, str]:
            command = [sys.executable, "manage.py", "audit", *arguments]
            done = subprocess.run(command, cwd=ROOT, env=product.environment, capture_output=True, text=True)
            return done.returncode, done.stdout + done.stderr

        tenant = str(product.operate("value = Tenant.objects.get(slug='demo').pk"))
        folder = product.folder / "objects" / "checkpoints" / tenant

        def signed() -> int:
            return max((int(path.stem) for path in folder.glob("*.json")), default=0)

        assert product.ask("Hello").status_code == 200
        until(lambda: recorded(product, tenant) == signed() > 2, "the first turn is signed")
        before = signed()
        assert product.ask("Hello again").status_code == 200
        until(lambda: recorded(product, tenant) == signed() == before + 2, "both turns are signed")
        code, told = audit("verify")
        assert (code, told.splitlines()[-1]) == (0, "the journal holds"), told
        assert re.search(r"entries +(\d+)\nleaves +\1\n", told)
        code, told = audit("verify", "--tenant", tenant)
        assert code == 0 and re.search(rf"entries +{before + 2}\nleaves +{before + 2}\n", told)

        export, verifier = tmp_path / "export.jsonl", tmp_path / "verify_journal.py"
        export.write_text(audit("export", "--tenant", tenant)[1])
        verifier.write_text(audit("verifier")[1])
        key = audit("publickey")[1].strip()
        alone = [sys.executable, "-I", "-S", str(verifier), str(export), "--key", key]
        done = subprocess.run(alone, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert f"{before + 2} entries checked" in done.stdout
        assert f'"checkpoint": {before + 2}' in (product.folder / "log" / "sequencer.log").read_text()
    assert product.processes() == []
