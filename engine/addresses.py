"""Which network addresses calls may go to, and sockets that are connected to exactly those.

A name is looked up once. Every address it has must be one that may be called, and a socket is connected to one of
those very addresses and asked afterwards whom it reached: no second look-up can say another. Names stay names only for
TLS and the protocol above. `docs/outbound.md` has the table of ranges; the sources are IANA's registries of
special-purpose addresses (https://www.iana.org/assignments/iana-ipv4-special-registry/,
https://www.iana.org/assignments/iana-ipv6-special-registry/) and the clouds' own pages on their metadata services.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import queue
import re
import socket
import threading
import time
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Found = Sequence[tuple[Any, ...]]  # what `getaddrinfo` tells

PUBLIC: Final = 0
PRIVATE: Final = 1  # only where the platform allows it
NEVER: Final = 2

RANGES: Final[tuple[tuple[str, int, str], ...]] = (
    # Metadata services hand out a machine's credentials; they lie inside wider ranges, so they come first.
    ("100.100.100.200/32", NEVER, "metadata (Alibaba Cloud)"),
    ("168.63.129.16/32", NEVER, "metadata (Azure)"),
    ("192.0.0.192/32", NEVER, "metadata (Oracle Cloud)"),
    ("fd00:ec2::/32", NEVER, "metadata (Amazon)"),
    ("fd20:ce::254/128", NEVER, "metadata (Google Cloud)"),
    ("fd00:c1::a9fe:a9fe/128", NEVER, "metadata (Oracle Cloud)"),
    ("fd00:42::42/128", NEVER, "metadata (Scaleway)"),
    ("fd00:100::100:200/128", NEVER, "metadata (Alibaba Cloud)"),
    ("fd00:a9fe:a9fe::1/128", NEVER, "metadata (Akamai)"),
    ("0.0.0.0/8", NEVER, "this network"),
    ("169.254.0.0/16", NEVER, "link-local, and metadata of most clouds"),
    ("192.0.0.0/24", NEVER, "protocol assignments"),
    ("192.0.2.0/24", NEVER, "documentation"),
    ("198.51.100.0/24", NEVER, "documentation"),
    ("203.0.113.0/24", NEVER, "documentation"),
    ("192.88.99.0/24", NEVER, "6to4 relays"),
    ("224.0.0.0/4", NEVER, "multicast"),
    ("240.0.0.0/4", NEVER, "reserved, and broadcast"),
    ("10.0.0.0/8", PRIVATE, "private"),
    ("100.64.0.0/10", PRIVATE, "behind a carrier's NAT"),
    ("127.0.0.0/8", PRIVATE, "loopback"),
    ("172.16.0.0/12", PRIVATE, "private"),
    ("192.168.0.0/16", PRIVATE, "private"),
    ("198.18.0.0/15", PRIVATE, "benchmarks"),
    ("::/128", NEVER, "unspecified"),
    ("::1/128", PRIVATE, "loopback"),
    ("100::/64", NEVER, "discarded"),
    ("2001::/32", NEVER, "Teredo"),
    ("2001:db8::/32", NEVER, "documentation"),
    ("3fff::/20", NEVER, "documentation"),
    ("fc00::/7", PRIVATE, "unique local"),
    ("fe80::/10", NEVER, "link-local"),
    ("fec0::/10", PRIVATE, "site-local"),
    ("ff00::/8", NEVER, "multicast"),
)
_RANGES: Final[tuple[tuple[Network, int], ...]] = tuple(
    (ipaddress.ip_network(text), verdict) for text, verdict, _ in RANGES
)

# An IPv4 address inside an IPv6 one, by how far it is shifted to the left. What lies behind a translator is judged by
# what it leads to; that it is written so makes nothing better.
EMBEDDED: Final[tuple[tuple[str, int, int, str], ...]] = (
    ("::ffff:0:0/96", 0, PUBLIC, "IPv4-mapped"),
    ("::/96", 0, PUBLIC, "IPv4-compatible"),
    ("::ffff:0:0:0/96", 0, PUBLIC, "translated (SIIT)"),
    ("64:ff9b::/96", 0, PUBLIC, "NAT64"),
    ("64:ff9b:1::/48", 0, PRIVATE, "NAT64 of one's own network"),
    ("2002::/16", 80, PUBLIC, "6to4"),
)
_EMBEDDED: Final[tuple[tuple[Network, int, int], ...]] = tuple(
    (ipaddress.ip_network(text), shift, verdict) for text, shift, verdict, _ in EMBEDDED
)
_ISATAP: Final = frozenset({0x00005EFE, 0x02005EFE})
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")

_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_DOTS: Final = str.maketrans({"\u3002": ".", "\uff0e": ".", "\uff61": "."})
_LOCAL_NAME: Final = re.compile(r"(?:.*\.)?localhost(?:\.localdomain)?\.?|ip6-(?:localhost|loopback)\.?", re.IGNORECASE)
LONGEST_NAME: Final = 253
MOST_LOOK_UPS: Final = 512  # at once in a process
PATIENCE: Final = 0.5  # seconds with an address while there is another one to try


class AddressRefused(ValueError):
    """It is none that may be called, and will be none later. The text tells nothing of what a name stands for."""


class Address(NamedTuple):
    """One that may be called. `host` is an IP address as text."""

    family: socket.AddressFamily
    host: str
    port: int

    @property
    def place(self) -> tuple[Any, ...]:
        """As sockets take it."""
        return (self.host, self.port) if self.family == socket.AF_INET else (self.host, self.port, 0, 0)


# The rules ------------------------------------------------------------------------------------------------------------


def verdict(address: Ip) -> int:
    """PUBLIC, PRIVATE or NEVER, the worst of an address and of any that is written inside it."""
    if isinstance(address, ipaddress.IPv4Address):
        return _listed(address, PUBLIC)
    if address.scope_id is not None:
        return NEVER
    number = int(address)
    listed = _listed(address, -1)
    for network, shift, at_least in _EMBEDDED:
        if listed < 0 and address in network:
            return max(at_least, verdict(ipaddress.IPv4Address(number >> shift & 0xFFFFFFFF)))
    inside = verdict(ipaddress.IPv4Address(number & 0xFFFFFFFF)) if number >> 32 & 0xFFFFFFFF in _ISATAP else PUBLIC
    if listed < 0:
        listed = PUBLIC if address in _GLOBAL_UNICAST and address.is_global else NEVER
    return max(listed, inside)


def is_public(address: Ip) -> bool:
    """Also of what is written into an IPv6 address."""
    return verdict(address) == PUBLIC


def permit(address: str, *, private: bool) -> None:
    """Raises AddressRefused unless this IP address may be called."""
    try:
        found = verdict(ipaddress.ip_address(address))
    except ValueError:
        raise AddressRefused("not an address") from None
    if found == NEVER:
        raise AddressRefused("an address that may not be called")
    if found == PRIVATE and not private:
        raise AddressRefused("an address of a private network")


def check_host(host: str, *, private: bool) -> None:
    """What can be said of a host before anything is looked up, as when it is saved. Raises AddressRefused for an
    address that may not be called, however it is written, and for names that always mean this machine."""
    name = _name(host)
    if (literal := _literal(name)) is not None:
        permit(literal, private=private)
    elif not private and _LOCAL_NAME.fullmatch(name):
        raise AddressRefused("an address of a private network")


def _listed(address: Ip, otherwise: int) -> int:
    return next(
        (each for network, each in _RANGES if network.version == address.version and address in network), otherwise
    )


def _name(host: str) -> str:
    """In ASCII, as a resolver would be asked: letters of other scripts and widths may stand for digits and dots. Raises
    AddressRefused."""
    try:
        name = host
        if not host.isascii():
            name = unicodedata.normalize("NFKC", host.translate(_DOTS)).translate(_DOTS).encode("idna").decode()
    except UnicodeError:
        raise AddressRefused("not a name") from None
    if not name or len(name) > LONGEST_NAME or not name.isprintable() or any(sign in name for sign in " /\\@%"):
        raise AddressRefused("not a name")
    return name


def _literal(name: str) -> str | None:
    """The name, if it is an IP address. Old spellings of one (`127.1`, `0x7f000001`, `017700000001`, `127.0.0.1.`) are
    refused: systems do not agree on what they mean. Raises AddressRefused."""
    if ":" in name or _NUMBER.fullmatch(name.removesuffix(".").rpartition(".")[2]):
        try:
            return str(ipaddress.ip_address(name))
        except ValueError:
            raise AddressRefused("not an address") from None
    return None


# Names ----------------------------------------------------------------------------------------------------------------


async def resolve(host: str, port: int, *, private: bool) -> list[Address]:
    """All addresses of a host, each of which may be called. Raises AddressRefused, also where only one may not; OSError
    for a name nobody has."""
    name, literal = _asked(host, port)
    if literal is not None:
        return _permitted([literal], port, private)
    try:
        found = await _looked_up_beside(name, port)
    except UnicodeError:
        raise AddressRefused("not a name") from None
    return _permitted(_hosts(found), port, private)


def resolve_blocking(host: str, port: int, *, private: bool, timeout: float | None = None) -> list[Address]:
    """As `resolve`, for threads. `timeout` in seconds bounds the look-up, which no system call can: TimeoutError."""
    name, literal = _asked(host, port)
    if literal is not None:
        return _permitted([literal], port, private)
    try:
        found = _looked_up(name, port) if timeout is None else _looked_up_within(timeout, name, port)
    except UnicodeError:
        raise AddressRefused("not a name") from None
    return _permitted(_hosts(found), port, private)


def _asked(host: str, port: int) -> tuple[str, str | None]:
    if not 0 < port < 65_536:
        raise AddressRefused("not a port")
    name = _name(host)
    return name, _literal(name)


_asking: Final[dict[tuple[asyncio.AbstractEventLoop, str, int], asyncio.Future[Found]]] = {}


def _looked_up(name: str, port: int) -> Found:
    return socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)


async def _looked_up_beside(name: str, port: int) -> Found:
    """In a thread of its own: those of the event loop's executor are few, everybody's, and would wait for a name server
    that says nothing as long as it likes. Who asks for a name meanwhile hears the same."""
    loop = asyncio.get_running_loop()
    key = (loop, name, port)
    future = _asking.get(key)
    if future is None:
        if len(_asking) >= MOST_LOOK_UPS:
            raise OSError("too many names are being looked up")
        future = _asking[key] = loop.create_future()
        future.add_done_callback(lambda done: (_asking.pop(key, None), done.cancelled() or done.exception()))
        threading.Thread(target=_look, args=(loop, future, name, port), name="look-up", daemon=True).start()
    return await asyncio.shield(future)


def _look(loop: asyncio.AbstractEventLoop, future: asyncio.Future[Found], name: str, port: int) -> None:
    found: Found | Exception
    try:
        found = _looked_up(name, port)
    except (OSError, UnicodeError) as error:
        found = error
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(_tell, future, found)


def _tell(future: asyncio.Future[Found], found: Found | Exception) -> None:
    if future.done():
        return
    if isinstance(found, Exception):
        future.set_exception(found)
    else:
        future.set_result(found)


def _looked_up_within(timeout: float, name: str, port: int) -> Found:
    """In a thread that is left to itself when it is too slow."""
    box: queue.SimpleQueue[Found | Exception] = queue.SimpleQueue()

    def look() -> None:
        try:
            box.put(_looked_up(name, port))
        except (OSError, UnicodeError) as error:
            box.put(error)

    threading.Thread(target=look, name="look-up", daemon=True).start()
    try:
        found = box.get(timeout=max(timeout, 0.001))
    except queue.Empty:
        raise TimeoutError("the name was not found in time") from None
    if isinstance(found, Exception):
        raise found
    return found


def _hosts(found: Iterable[tuple[Any, ...]]) -> list[str]:
    """Each once; a zone is kept, so that it is refused."""
    return list(dict.fromkeys(str(info[4][0]) + (f"%{info[4][3]}" if _zone(info[4]) else "") for info in found))


def _zone(place: tuple[Any, ...]) -> bool:
    return len(place) == 4 and bool(place[3]) and "%" not in place[0]


def _permitted(hosts: Iterable[str], port: int, private: bool) -> list[Address]:
    found = []
    for host in hosts:
        permit(host, private=private)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        found.append(Address(family, host, port))
    if not found:
        raise OSError("the name has no address")
    return found


# Sockets --------------------------------------------------------------------------------------------------------------


async def connect(host: str, port: int, *, private: bool) -> socket.socket:
    """A connected socket that does not block. The addresses are tried in their order, all but the last for PATIENCE;
    how long in all, the caller bounds. Raises AddressRefused, OSError."""
    loop = asyncio.get_running_loop()
    failure: OSError | None = None
    found = await resolve(host, port, private=private)
    for address in found:
        link = _socket(address)
        try:
            link.setblocking(False)
            async with asyncio.timeout(None if address is found[-1] else PATIENCE):
                await loop.sock_connect(link, address.place)
            check_peer(link, private=private)
        except OSError as error:
            link.close()
            failure = error
        except BaseException:
            link.close()
            raise
        else:
            return link
    assert failure is not None
    raise failure


def connect_blocking(host: str, port: int, *, private: bool, timeout: float) -> socket.socket:
    """A connected socket, whose `timeout` (seconds, which names and all attempts share) goes on for each step. Raises
    AddressRefused, OSError."""
    deadline = time.monotonic() + timeout
    failure: OSError | None = None
    found = resolve_blocking(host, port, private=private, timeout=timeout)
    for address in found:
        link = _socket(address)
        try:
            left = max(deadline - time.monotonic(), 0.001)
            link.settimeout(left if address is found[-1] else min(left, PATIENCE))
            link.connect(address.place)
            check_peer(link, private=private)
            link.settimeout(timeout)
        except OSError as error:
            link.close()
            failure = error
        except BaseException:
            link.close()
            raise
        else:
            return link
    assert failure is not None
    raise failure


def check_peer(link: socket.socket, *, private: bool) -> None:
    """Whom a socket reached, as the system says. Raises AddressRefused, OSError."""
    permit(str(link.getpeername()[0]), private=private)


def check_peer_of(handle: int, *, private: bool) -> None:
    """As `check_peer`, of a file descriptor that stays its owner's: drivers keep their sockets to themselves."""
    link = socket.socket(fileno=handle)
    try:
        check_peer(link, private=private)
    finally:
        link.detach()


def _socket(address: Address) -> socket.socket:
    link = socket.socket(address.family, socket.SOCK_STREAM)
    with contextlib.suppress(OSError):  # only faster with it
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return link
