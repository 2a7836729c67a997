"""Texts of others as pages show them."""

from __future__ import annotations

import re
from typing import Final

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

LONGEST_ADDRESS: Final = 60  # characters
_CODE: Final = re.compile("`([^`]*)`")


def short_address(url: str) -> str:
    """Without its query, in which there may be a password, and no longer than a column."""
    place = url.partition("?")[0]
    return place if len(place) <= LONGEST_ADDRESS else f"{place[:LONGEST_ADDRESS]}…"


def with_code(text: object) -> SafeString:
    """What stands between two back-quotes as code, as authors of plugins write names; everything is escaped. A last
    back-quote that no other follows is one."""
    return mark_safe(_CODE.sub(r"<code>\1</code>", escape(str(text))))  # noqa: S308  # what is added is ours
