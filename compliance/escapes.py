"""JSON text as its reader sees it: escapes resolved, with the way back to the characters as they were written.

Source: RFC 8259, section 7. Text that is no JSON is read the same way, since it may yet be put into some."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate
from typing import Final, NamedTuple

_HEX: Final = "[0-9a-fA-F]"
_HIGH: Final = f"[dD][89abAB]{_HEX}{{2}}"
_LOW: Final = f"[dD][c-fC-F]{_HEX}{{2}}"
_SOME_OF_LOW: Final = rf"(?:\\(?:u(?:[dD](?:[c-fC-F]{_HEX}?)?)?)?)?"
# What ends a text so that more of it could still be one escape.
_BEGUN: Final = rf"\\(?:u(?:{_HIGH}{_SOME_OF_LOW}|{_HEX}{{0,3}}))?\Z"
# A high surrogate without a low one, and a `\u` without its digits, are certain one character after their beginning
# stopped: that is what the two lookaheads measure.
_WHOLE: Final = (
    rf"\\(?:u(?P<high>{_HIGH})\\u(?P<low>{_LOW})|u(?P<alone>{_HIGH})(?=(?P<almost>{_SOME_OF_LOW}))"
    rf"|u(?P<code>{_HEX}{{4}})|u(?=(?P<digits>{_HEX}{{0,3}}))|(?P<sign>[^u]))"
)
_GROWING: Final = re.compile(f"(?P<begun>{_BEGUN})|{_WHOLE}", re.DOTALL)
_OVER: Final = re.compile(f"(?P<begun>(?!))|{_WHOLE}", re.DOTALL)
_SIGNS: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_PAIRS: Final = re.compile(r"\\.", re.DOTALL)


class Unescaped(NamedTuple):
    """`starts`: where each character of `text` begins in the raw text, and where the last one ends. `certain`: how much
    of the raw text must be known to be sure of each."""

    text: str
    starts: Sequence[int]
    certain: Sequence[int]


def unescaped(raw: str, over: bool) -> Unescaped:
    """Unless the text is `over`, an escape that may still grow at its end is left out."""
    pieces: list[str] = []
    starts: list[int] = []
    certain: list[int] = []
    done = 0
    for match in (_OVER if over else _GROWING).finditer(raw):
        start, end = match.span()
        pieces.append(raw[done:start])
        starts.extend(range(done, start))
        certain.extend(range(done + 1, start + 1))
        done = start
        if match["begun"] is not None:
            break
        pieces.append(_character(match))
        starts.append(start)
        open_end = match["almost"] if match["alone"] else match["digits"]
        certain.append(end if open_end is None else end + len(open_end) + 1)
        done = end
    else:
        pieces.append(raw[done:])
        starts.extend(range(done, len(raw)))
        certain.extend(range(done + 1, len(raw) + 1))
        done = len(raw)
    starts.append(done)
    return Unescaped("".join(pieces), starts, list(accumulate(certain, max)))


def _character(match: re.Match[str]) -> str:
    if match["high"]:
        return chr(0x10000 + ((int(match["high"], 16) & 0x3FF) << 10) + (int(match["low"], 16) & 0x3FF))
    code = match["code"] or match["alone"]
    if code:
        return chr(int(code, 16))
    sign = match["sign"]
    return _SIGNS.get(sign, sign) if sign else "u"


def ends_quoted(raw: str, quoted: bool) -> bool:
    """Whether a JSON string is open after `raw`, if one was (`quoted`) before it."""
    if "\\" in raw:
        raw = _PAIRS.sub("", raw)
    return quoted ^ bool(raw.count('"') & 1)
