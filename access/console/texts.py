"""Texts of others as pages show them."""

from __future__ import annotations

from typing import Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

LONGEST_ADDRESS: Final = 60  # characters


def short_address(url: str) -> str:
    """Without its query, in which there may be a password, and no longer than a column."""
    place = url.partition("?")[0]
    return place if len(place) <= LONGEST_ADDRESS else f"{place[:LONGEST_ADDRESS]}…"


def with_code(text: object) -> SafeString:
    """What stands between two back-quotes as code, as authors of plugins write names; everything is escaped. A last
    back-quote that no other follows is one."""
    said, *rest = str(text).split("`")
    shown = [format_html("{}", said)]
    while len(rest) >= 2:
        code, said, *rest = rest
        shown.append(format_html("<code>{}</code>{}", code, said))
    shown += [format_html("`{}", each) for each in rest]
    return format_html_join("", "{}", ((each,) for each in shown))
