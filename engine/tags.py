"""Language tags (BCP 47), and those a request says it wants (RFC 9110, 12.5.4)."""

from __future__ import annotations

import re
from typing import Final

HANS: Final = "Hans"
HANT: Final = "Hant"
_TRADITIONAL: Final = frozenset({"hant", "tw", "hk", "mo"})
_SIMPLIFIED: Final = frozenset({"hans", "cn", "sg", "my"})
_RANGE: Final = re.compile(
    r"\s*([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8}){0,3})(?:-[A-Za-z0-9]{1,8}){0,12}\s*(?:;\s*[qQ]\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?))?\s*\Z"
)
_LONGEST_HEADER: Final = 1_000  # characters that are read


def ranked(header: bytes | None) -> list[str]:
    """The language tags of an Accept-Language header, the best first, of long ones (`de-DE-u-co-phonebk`) the first
    four subtags; without `*`, those that are refused (`q=0`) and nonsense."""
    if not header:
        return []
    found: list[tuple[float, str]] = []
    for item in header[:_LONGEST_HEADER].decode("latin-1").split(","):
        match = _RANGE.match(item)
        if match is not None and (weight := float(match[2] or 1)) > 0:
            found.append((-weight, match[1]))
    found.sort(key=lambda pair: pair[0])
    return [tag for _, tag in found]


def primary(tag: str) -> str:
    """The primary subtag: `zh` of `zh-CN`."""
    return tag.replace("_", "-").split("-", 1)[0].strip().lower()


def chinese_script(tag: str) -> str | None:
    """`Hans` or `Hant` where a tag of Chinese says so or its region does. The script counts before the region:
    `zh-Hans-HK`."""
    others = tag.replace("_", "-").lower().split("-")[1:]
    if "hans" in others:
        return HANS
    if _TRADITIONAL.intersection(others):
        return HANT
    return HANS if _SIMPLIFIED.intersection(others) else None
