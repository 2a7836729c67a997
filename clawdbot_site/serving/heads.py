"""What a request's head must be beyond what its parser asks: where two readers could take it for different requests,
nobody does (RFC 9112, sections 3.2 and 6.1).

A proxy in front and this server have to agree on the host a request is for, and on where its body ends."""

from __future__ import annotations

import re
from typing import Any, Final

import httptools

JUDGED: Final = frozenset({b"host", b"transfer-encoding"})
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~%!$&'()*+,;=-]*|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{0,5})?\Z")
REMEMBERED: Final = 1000  # names of fields that came, or were sent
LONGEST: Final = 64
_PORTS: Final = {b"http": b"80", b"https": b"443"}


class Lower(dict[bytes, bytes]):
    """Names of fields in lower case. One that many requests have is there once and not once a request."""

    def __missing__(self, name: bytes) -> bytes:
        lower = name.lower()
        if len(self) < REMEMBERED and len(name) <= LONGEST:
            self[name] = lower
        return lower


LOWER: Final = Lower()


def new_parser(protocol: object) -> httptools.HttpRequestParser:
    """As uvicorn makes one."""
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


class Ambiguous(Exception):
    """The request could be read in two ways."""


class Head:
    """The fields of one head that say for whom it is and how long its body is, as they come."""

    __slots__ = ("chunked", "host")

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Nothing was heard yet."""
        self.host: bytes | None = None
        self.chunked = False

    def judge(self, name: bytes, value: bytes) -> None:
        """A field of JUDGED. Raises Ambiguous."""
        if name == b"host":
            if self.host is not None or _HOST.match(value) is None:
                raise Ambiguous
            self.host = value
        elif self.chunked or value.strip(b" \t").lower() != b"chunked":
            raise Ambiguous
        else:
            self.chunked = True

    def end(self, version: str, target: bytes) -> None:
        """All fields were there. Raises Ambiguous."""
        if version == "1.1":
            if self.host is None:
                raise Ambiguous
        elif version != "1.0" or self.chunked:
            raise Ambiguous
        if b"#" in target or not target.isascii():
            raise Ambiguous
        if not target.startswith(b"/"):
            self._absolute(target)

    def _absolute(self, target: bytes) -> None:
        """A target with a host of its own must name the same; CONNECT's form and `*` are nothing anybody serves."""
        try:
            url: Any = httptools.parse_url(target)  # what is absent is None, whatever its stubs say
        except httptools.HttpParserInvalidURLError:
            raise Ambiguous from None
        if url.schema not in _PORTS or not url.host or url.userinfo is not None or url.path is None:
            raise Ambiguous
        named = b"[%b]" % url.host if b":" in url.host else url.host
        port = b"%d" % url.port if url.port is not None else _PORTS[url.schema]
        host, _, asked = _split(self.host or b"")
        if self.host is not None and (host.lower(), asked or _PORTS[url.schema]) != (named.lower(), port):
            raise Ambiguous


def _split(host: bytes) -> tuple[bytes, bytes, bytes]:
    end = host.rfind(b"]") + 1
    name, colon, port = host[end:].partition(b":")
    return host[:end] + name, colon, port
