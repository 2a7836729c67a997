"""Headers as HTTP/2 packs them (RFC 7541). What a client repeats, as most do from their second call on, is looked up by
its bytes. We answer with literals that are kept in no table: an answer then depends on none before it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

Fields = tuple[tuple[bytes, bytes], ...]

TABLE: Final = 4096  # bytes of headers a client may have us keep
ENTRY: Final = 32  # what one counts beyond its text
REMEMBERED: Final = 64  # blocks whose fields are known
SHORT: Final = 1024  # bytes of a block that is remembered

# Appendix A: name, and value where there is one.
_STATIC_TEXT: Final = (
    ":authority|:method GET|:method POST|:path /|:path /index.html|:scheme http|:scheme https|:status 200|:status 204|"
    ":status 206|:status 304|:status 400|:status 404|:status 500|accept-charset|accept-encoding gzip, deflate|"
    "accept-language|accept-ranges|accept|access-control-allow-origin|age|allow|authorization|cache-control|"
    "content-disposition|content-encoding|content-language|content-length|content-location|content-range|content-type|"
    "cookie|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range|if-unmodified-since|"
    "last-modified|link|location|max-forwards|proxy-authenticate|proxy-authorization|range|referer|refresh|retry-after|"
    "server|set-cookie|strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate"
)
STATIC: Final = [
    (name.encode(), value.encode()) for name, _, value in (each.partition(" ") for each in _STATIC_TEXT.split("|"))
]
# Appendix B: how many bits the code of each octet has, and that of the end, which no text may contain. Codes are
# canonical: those of a length follow each other in the order of their octets.
_LENGTHS: Final = (
    [13, 23, *[28] * 7, 24, 30, 28, 28, 30, *[28] * 8, 30, *[28] * 9]
    + [6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10]
    + [13, 6, *[7] * 22, 8, 7, 8, 13, 19, 13, 14, 6]
    + [15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28]
    + [20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23]
    + [22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23]
    + [20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27]
    + [27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23]
    + [26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30]
)
END: Final = 256


class Malformed(Exception):
    """Bytes that are no headers; a connection cannot go on after them."""


def _codes() -> dict[tuple[int, int], int]:
    """The octet by length and code."""
    found: dict[tuple[int, int], int] = {}
    code = length = 0
    for bits, octet in sorted((bits, octet) for octet, bits in enumerate(_LENGTHS)):
        code <<= bits - length
        length = bits
        found[bits, code] = octet
        code += 1
    return found


_CODES: Final = _codes()
# By the next eight bits: the octet whose code begins there, and its length; 0 where that is longer.
_BY_BYTE: Final = [
    next(
        ((_CODES[bits, byte >> (8 - bits)], bits) for bits in range(5, 9) if (bits, byte >> (8 - bits)) in _CODES),
        (0, 0),
    )
    for byte in range(256)
]


def unhuffman(data: bytes) -> bytes:
    """Raises Malformed."""
    found = bytearray()
    held = count = 0  # bits that are not read yet
    for byte in data:
        held = (held << 8) | byte
        count += 8
        while count >= 8:
            octet, bits = _BY_BYTE[(held >> (count - 8)) & 0xFF]
            if not bits:
                octet, bits = _next(held, count, 9)
                if not bits:
                    break
            found.append(octet)
            count -= bits
            held &= (1 << count) - 1
    while count:  # the last ones, before the padding
        octet, bits = _next(held, count, 5)
        if not bits:
            break
        found.append(octet)
        count -= bits
        held &= (1 << count) - 1
    if count > 7 or held != (1 << count) - 1:
        raise Malformed("a text with other padding than ones")
    return bytes(found)


def _next(held: int, count: int, fewest: int) -> tuple[int, int]:
    """The octet whose code the next bits are, and its length; 0: more of them are needed. Raises Malformed."""
    for bits in range(fewest, min(count, 30) + 1):
        octet = _CODES.get((bits, held >> (count - bits)))
        if octet == END:
            raise Malformed("the end of a text, coded")
        if octet is not None:
            return octet, bits
    if count >= 30:
        raise Malformed("a text that is not coded")
    return 0, 0


class Decoder:
    """The headers of one connection, in the order in which they come."""

    def __init__(self) -> None:
        self._table: deque[tuple[bytes, bytes]] = deque()
        self._size = 0
        self._most = TABLE
        self._known: dict[bytes, Fields] = {}  # as long as the table stays as it is

    def decode(self, block: bytes) -> Fields:
        """Raises Malformed."""
        known = self._known.get(block)
        if known is not None:
            return known
        try:
            fields, changed = self._decode(block)
        except IndexError:
            raise Malformed("headers that end too soon, or a place where there are none") from None
        if changed:
            self._known.clear()
        elif len(block) <= SHORT and len(self._known) < REMEMBERED:
            self._known[block] = fields
        return fields

    def _decode(self, block: bytes) -> tuple[Fields, bool]:
        fields: list[tuple[bytes, bytes]] = []
        changed, at, end = False, 0, len(block)
        while at < end:
            first = block[at]
            if first >= 0x80:
                index, at = _number(block, at, 7)
                fields.append(self._at(index))
                continue
            if 0x20 <= first < 0x40:
                most, at = _number(block, at, 5)
                if fields or most > TABLE:
                    raise Malformed("a table's size where none may be, or too large")
                self._most, changed = most, True
                self._shrink()
                continue
            kept = first >= 0x40
            index, at = _number(block, at, 6 if kept else 4)
            name, at = (self._at(index)[0], at) if index else _text(block, at)
            value, at = _text(block, at)
            fields.append((name, value))
            if kept:
                changed = True
                self._table.appendleft((name, value))
                self._size += len(name) + len(value) + ENTRY
                self._shrink()
        return tuple(fields), changed

    def _at(self, index: int) -> tuple[bytes, bytes]:
        """Raises IndexError, Malformed."""
        if not index:
            raise Malformed("place 0, where nothing is")
        return STATIC[index - 1] if index <= len(STATIC) else self._table[index - len(STATIC) - 1]

    def _shrink(self) -> None:
        while self._size > self._most:
            name, value = self._table.pop()
            self._size -= len(name) + len(value) + ENTRY


def _number(data: bytes, at: int, bits: int) -> tuple[int, int]:
    most = (1 << bits) - 1
    value = data[at] & most
    at += 1
    if value < most:
        return value, at
    for shift in (0, 7, 14, 21):
        byte = data[at]
        at += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise Malformed("a number that is too large")


def _text(data: bytes, at: int) -> tuple[bytes, int]:
    coded = data[at] & 0x80
    length, at = _number(data, at, 7)
    end = at + length
    if end > len(data):
        raise Malformed("a text that ends too soon")
    raw = data[at:end]
    return (unhuffman(raw) if coded else raw), end


def literal(name: bytes, value: bytes) -> bytes:
    return b"\0" + _length(len(name)) + name + _length(len(value)) + value


def literals(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join([literal(name, value) for name, value in fields])


def _length(value: int) -> bytes:
    if value < 127:
        return bytes((value,))
    value -= 127
    said = bytearray(b"\x7f")
    while value >= 0x80:
        said.append(value & 0x7F | 0x80)
        value >>= 7
    said.append(value)
    return bytes(said)
