"""Other people's code is what its list says."""

from __future__ import annotations

import hashlib

from tests.chat.conftest import STATIC

VENDOR = STATIC / "chat" / "vendor"


def test_the_vendored_files_are_those_of_the_list():
    rows = [line.strip("| ").split(" | ") for line in (VENDOR / "README.md").read_text().splitlines() if ".js`" in line]
    listed = {row[0].strip("`"): row[-1].strip("`") for row in rows if len(row) == 4}
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDOR.glob("*.js")}
    assert found == listed and found


def test_each_comes_with_its_licence():
    for path in VENDOR.glob("*.js"):
        assert "Permission is hereby granted" in (VENDOR / path.name.replace(".esm.js", ".LICENSE")).read_text()
