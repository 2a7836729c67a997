"""Where a request really comes from: the peer, or what trusted proxies say of it.

`X-Forwarded-For` and `Forwarded` (RFC 7239) are written by whoever passes a request on, the first of them being the
caller itself. So they count only when the peer is a configured proxy, and are read from the right: every entry was
written by the one to its right, and the first that is no trusted proxy is the caller."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from tenants.networks import Address, contains, parse_address, parse_network

Headers = Sequence[tuple[bytes, bytes]]

SCHEMES = {"http", "https"}
UNIX = "unix"  # the word for peers on a unix socket, which have no address

# Possessive quantifiers: hostile headers cost no backtracking.
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
_ELEMENT = re.compile(rf'((?:[^",]|{_QUOTED})*+)(?:,|\Z)')
_PAIR = re.compile(rf'\s*+([a-z]++)=({_QUOTED}|[^";\s]*+)\s*+(?:;|\Z)', re.IGNORECASE)
_BRACKETED = re.compile(r"\[([^\]]*:[^\]]*)\](?::\d{1,5})?\Z", re.ASCII)
_WITH_PORT = re.compile(r"(\d+\.\d+\.\d+\.\d+):\d{1,5}\Z", re.ASCII)


class UntrustedChain(ValueError):
    """A trusted proxy passed something on that is no address: then nobody knows who calls."""


class TrustedProxies:
    """`words` are networks and addresses, and `unix` for peers on a unix socket. Raises ValueError on anything else."""

    def __init__(self, words: Iterable[str]) -> None:
        words = [word.strip() for word in words]
        self._unix = UNIX in words
        self._networks = tuple(parse_network(word) for word in words if word != UNIX)

    def caller(self, peer: str | None, headers: Headers) -> Address | None:
        """The caller's address; None when nobody can say (a unix socket). `peer` is the socket's other end.

        Raises UntrustedChain."""
        address = _plain(peer) if peer else None
        if not self._trusts(address):
            return address
        chains = [chain for chain in (_x_forwarded_for(headers), _forwarded(headers)) if chain]
        callers = [self._walk(address, chain) for chain in chains]
        if any(caller != callers[0] for caller in callers):
            raise UntrustedChain("X-Forwarded-For and Forwarded name different callers")
        return callers[0] if callers else address

    def scheme(self, peer: str | None, headers: Headers) -> str | None:
        """`https` or `http`, how the caller came to the nearest proxy, as `X-Forwarded-Proto` or `Forwarded` say; None:
        nobody who may has said so, or two say different things. Raises UntrustedChain."""
        if not self._trusts(_plain(peer) if peer else None):
            return None
        said = _x_forwarded_proto(headers) | _forwarded_proto(headers)
        return said.pop() if len(said) == 1 and said <= SCHEMES else None

    def _walk(self, address: Address | None, chain: Sequence[str]) -> Address | None:
        for text in reversed(chain):
            address = _entry(text)
            if not self._trusts(address):
                break
        return address

    def _trusts(self, address: Address | None) -> bool:
        return self._unix if address is None else contains(self._networks, address)


def _x_forwarded_for(headers: Headers) -> list[str]:
    return _joined(headers, b"x-forwarded-for").split(",") if _has(headers, b"x-forwarded-for") else []


def _forwarded(headers: Headers) -> list[str]:
    """The `for` of each element, unquoted; empty where an element has none or several."""
    if not _has(headers, b"forwarded"):
        return []
    chain = []
    for element in _matches(_ELEMENT, _joined(headers, b"forwarded")):
        named = [pair[2] for pair in _matches(_PAIR, element[1].strip()) if pair[1].lower() == "for"]
        chain.append(_unquoted(named[0]) if len(named) == 1 else "")
    return chain


def _x_forwarded_proto(headers: Headers) -> set[str]:
    """What the last of those who wrote it says."""
    if not _has(headers, b"x-forwarded-proto"):
        return set()
    return {_joined(headers, b"x-forwarded-proto").rpartition(",")[2].strip().lower()}


def _forwarded_proto(headers: Headers) -> set[str]:
    if not _has(headers, b"forwarded"):
        return set()
    elements = [element[1] for element in _matches(_ELEMENT, _joined(headers, b"forwarded"))]
    pairs = _matches(_PAIR, elements[-1].strip()) if elements else iter(())
    return {_unquoted(pair[2]).lower() for pair in pairs if pair[1].lower() == "proto"}


def _matches(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """One match after the other, without a gap, to the end."""
    position = 0
    while position < len(text):
        found = pattern.match(text, position)
        if found is None:
            raise UntrustedChain("a Forwarded header that cannot be read")
        yield found
        position = found.end()


def _has(headers: Headers, name: bytes) -> bool:
    return any(header == name for header, _ in headers)


def _joined(headers: Headers, name: bytes) -> str:
    """Several lines of one header mean the same as one line (RFC 9110, 5.3)."""
    return ",".join(value.decode("latin-1") for header, value in headers if header == name)


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text


def _plain(text: str) -> Address:
    try:
        return parse_address(text)
    except ValueError:
        raise UntrustedChain("a proxy passed on what is no address") from None


def _entry(text: str) -> Address:
    """An address, perhaps with a port: `192.0.2.1:80`, `[2001:db8::1]:443`."""
    text = text.strip()
    match = _BRACKETED.match(text) or _WITH_PORT.match(text)
    return _plain(match[1] if match else text)
