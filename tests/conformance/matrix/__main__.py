"""`python -m tests.conformance.matrix`: runs every cell and writes the page."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "conformance.md"

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clawdbot_site.settings")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # a server that ends is no news
    import django

    django.setup()
    from tests.conformance.matrix.table import page

    PAGE.write_text(asyncio.run(page()))
