"""Debian's Chromium, driven by Playwright; `tools/chromium.sh` gets it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright


@contextmanager
def chromium() -> Iterator[Browser]:
    """For a module at the most: the driver has an event loop in this thread, beside which no other may run. Skips the
    test where there is no browser."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("There is no Chromium (Debian: apt-get install chromium).")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
