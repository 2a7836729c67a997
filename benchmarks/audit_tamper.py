"""Random edits of a journal; `audit verify` has to find each: `python -m benchmarks.audit_tamper [--edits 10000]`.

Exit 0: all were found, and nothing was found where nothing was altered."""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter

os.environ.setdefault("VAR_DIR", tempfile.mkdtemp(prefix="clawdbot-bench-"))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clawdbot_site.settings")

import django  # noqa: E402

django.setup()

from django.core.files.storage import default_storage  # noqa: E402
from django.db import connections  # noqa: E402

from benchmarks.rows import migrate  # noqa: E402
from benchmarks.tampering import Tamperer  # noqa: E402
from benchmarks.tree import fill, fold  # noqa: E402
from compliance.database import ALIAS, first_file  # noqa: E402
from compliance.journal.signing import platform_signer  # noqa: E402
from compliance.tree.verifying import verify  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=10_000)
    parser.add_argument("--entries", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    migrate()
    fill(options.entries)
    connections[ALIAS].close()
    fold()
    first = first_file()
    assert first is not None
    keys = platform_signer().keys
    tamperer = Tamperer(first, random.Random(options.seed))
    missed: Counter[str] = Counter()
    false_alarms, began = 0, time.monotonic()
    for number in range(options.edits):
        what = tamperer.edit()
        if verify(keys, default_storage).holds:
            missed[what] += 1
        tamperer.restore()
        if number % 100 == 0 and not verify(keys, default_storage).holds:
            false_alarms += 1
    tamperer.close()
    for what, times in missed.most_common(20):
        print(f"missed {times} times: {what}")
    found = options.edits - missed.total()
    print(f"{found} of {options.edits} edits found, {false_alarms} false alarms, {time.monotonic() - began:.0f} s")
    return 0 if found == options.edits and not false_alarms else 1


if __name__ == "__main__":
    sys.exit(main())
