"""What stands for a value while it is with a model: `[PHONE_1]`, its kind and a number in square brackets.

Models copy it unchanged: it is no Markdown by itself, no HTML (`<PHONE_1>` is eaten as a tag or closed as one), needs
no escape in JSON, and services take it in a participant's name. In answers other letter case and full-width brackets,
which models write in Chinese text, are understood too."""

from __future__ import annotations

import re
from typing import Final

from compliance.personal.scanning import LABELS

OPENING: Final = "[［【"
PLACEHOLDER: Final = re.compile(
    rf"[{re.escape(OPENING)}]((?:{'|'.join(sorted(set(LABELS.values())))})_[1-9][0-9]{{0,5}})[\]］】]",
    re.ASCII | re.IGNORECASE,
)


def placeholder(key: str) -> str:
    return f"[{key}]"


def keys_in(text: str) -> set[str]:
    """The keys (`PHONE_1`) of what looks like a placeholder in a text."""
    return {match[1].upper() for match in PLACEHOLDER.finditer(text)} if "_" in text else set()
