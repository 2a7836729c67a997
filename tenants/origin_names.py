"""Origins of web pages (RFC 6454) as people write them."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

LONGEST: Final = 255
PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*\Z")


def parse_origin(text: str) -> str:
    """As browsers send it: lower case, no default port. `https://host[:port]`; `http` only for this very machine, since
    what comes over it may have been changed on its way. Raises ValueError with what is wrong."""
    text = text.strip()
    if not text or len(text) > LONGEST or not text.isprintable():
        raise ValueError("An origin looks like https://www.example.com or https://www.example.com:8443.")
    try:
        parts = urlsplit(text.removesuffix("/"))
        host, port = (parts.hostname or "").encode("idna").decode("ascii"), parts.port
    except ValueError:
        raise ValueError(f"{text} is not an origin: https://host, perhaps with a port.") from None
    if parts.scheme not in PORTS or "@" in parts.netloc or parts.path or parts.query or parts.fragment:
        raise ValueError(f"{text} is not an origin: https://host, perhaps with a port, and nothing after it.")
    named = _bracketed(host)
    if parts.scheme == "http" and not _loopback(host):
        raise ValueError(f"{text}: http is for this machine only (localhost, 127.0.0.1); use https.")
    return f"{parts.scheme}://{named}" if port in (None, PORTS[parts.scheme]) else f"{parts.scheme}://{named}:{port}"


def _bracketed(host: str) -> str:
    if ":" in host and "%" not in host:
        return f"[{ipaddress.IPv6Address(host)}]"
    if not _HOST.match(host):
        raise ValueError(f"{host!r} is not the name of a host.")
    return host


def _loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
