"""Telephone numbers and e-mail addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from compliance.personal.recogniser import Recogniser

_LONGEST_LOCAL: Final = 64  # RFC 5321, 4.5.3.1.1
_WORD: Final = "0-9A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f"
_LOCAL: Final = re.compile(rf"[{_WORD}!#$%&'+._^~-]+")
_LEADING: Final = "!#$%&'+-.^~"  # quotation and punctuation in front of an address are none of it
_LABEL: Final = rf"[{_WORD}](?:[{_WORD}-]{{0,61}}[{_WORD}])?"
_DOMAIN: Final = re.compile(rf"(?:{_LABEL}\.){{1,8}}(?:xn--[0-9A-Za-z-]{{2,59}}|[A-Za-z]{{2,63}})(?![0-9A-Za-z])")
_AT: Final = re.compile(rf"(?<=[{_WORD}!#$%&'+_^~-])@(?=[{_WORD}])")

# Where a telephone number may begin with it: +86, (010). Its digits are matched with them.
_ANY_AREA: Final = r"(?:[ .()/-]{0,2}[0-9])"
_CHINESE_AREA: Final = r"0(?:10|2[0-9]|[3-9][0-9]{2})"
_PHONES: Final = (
    rf"\(?\+[1-9]{_ANY_AREA}{{7,14}}",  # ITU-T E.164
    rf"00(?:86|85[23]|886|[1-9][0-9]{{0,2}}[ ./-]){_ANY_AREA}{{7,13}}",
    r"(?:86[ -]?)?1[3-9][0-9][ -]?(?:[0-9]{4}[ -]?[0-9]{4}|[0-9]{3}[ -]?[0-9]{5})",  # Chinese mobile
    rf"(?:\({_CHINESE_AREA}\) ?|{_CHINESE_AREA}[ -]?)[2-9][0-9]{{2,3}}[ -]?[0-9]{{4}}(?:-[0-9]{{1,6}})?",
    r"(?:1[ .-]?)?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}",  # North America
    r"0[1-9](?:[ .-][0-9]{2}){4}|0[67][0-9]{8}",  # France
    r"\(?0(?:7[0-9]{3}\)? ?[0-9]{3} ?[0-9]{3}|2[0-9]\)? ?[0-9]{4} ?[0-9]{4})",  # United Kingdom
    r"\(?01[0-9]{2,3}\)? [0-9]{3,4} ?[0-9]{3,4}",
    r"0[5789]0[ -]?[0-9]{4}[ -]?[0-9]{4}",  # Japan
    r"01[016789][ -]?[0-9]{3,4}[ -]?[0-9]{4}",  # Korea
    r"09[0-9]{2}[ -]?[0-9]{3}[ -]?[0-9]{3}",  # Taiwan
    r"01[567][0-9][ /-]?[0-9]{7,8}|0[1-9][0-9]{1,3}[ /-][0-9]{5,8}",  # Germany
    r"04[0-9]{2} ?[0-9]{3} ?[0-9]{3}",  # Australia
)


def _any(number: str) -> bool:
    return True


PHONES: Final = tuple(Recogniser("phone", "PHONE", pattern, _any) for pattern in _PHONES)


def addresses(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of every e-mail address: RFC 5322's dot-atom without the signs that programs and quotations put
    beside one (`=`, `/`, `{`, `*`, …), at a domain of two labels or more. Linear: at each `@` at most 64 characters
    before and a domain's behind it are read."""
    done = 0
    for sign in _AT.finditer(text):
        at = sign.start()
        if at < done:
            continue
        backwards = _LOCAL.match(text[max(done, at - _LONGEST_LOCAL - 1) : at][::-1])
        local = backwards[0][::-1].lstrip(_LEADING) if backwards is not None else ""
        if local and len(local) <= _LONGEST_LOCAL:
            domain = _DOMAIN.match(text, at + 1)
            if domain is not None:
                done = domain.end()
                yield at - len(local), done
