"""Signed messages to an address that a tenant named. Blocking: for background work.

What a tenant writes there must not reach our own network: a name is looked up once, every address it has must be a
public one, and that very address is connected to, so that a second look-up cannot say another. Redirects are not
followed. The signature is over time and body, as Stripe's webhooks have it
(https://docs.stripe.com/webhooks#verify-manually)."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import ipaddress
import socket
import ssl
import time
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.crypto import salted_hmac

SIGNATURE: Final = "X-Clawdbot-Signature"
TIMEOUT: Final = 10.0
MOST_READ: Final = 65_536
NAT64: Final = ipaddress.ip_network("64:ff9b::/96")

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressRefused(ValueError):
    """It is none that may be called, and will be none later."""


class DeliveryFailed(OSError):
    """Nobody took it; it may be tried again."""


def secret_of(tenant_id: int) -> str:
    """What the tenant's messages are signed with; only the tenant and we know it."""
    return salted_hmac("tenants.webhooks", str(tenant_id), algorithm="sha256").hexdigest()


def sign(secret: str, body: bytes, at: int) -> str:
    """`t=<Unix seconds>,v1=<hex of HMAC-SHA256 over "t.body">`."""
    digest = hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def post(url: str, body: bytes, *, secret: str, private: bool | None = None) -> None:
    """Raises AddressRefused, DeliveryFailed. `private`: addresses of private networks are allowed; None: as the setting
    WEBHOOK_PRIVATE says."""
    secure, host, port, path = _parsed(url)
    allowed = settings.WEBHOOK_PRIVATE if private is None else private
    try:
        address = _address(host, port, private=allowed)
        with socket.create_connection(address, TIMEOUT) as plain:
            plain.settimeout(TIMEOUT)
            link = ssl.create_default_context().wrap_socket(plain, server_hostname=host) if secure else plain
            connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
            connection.sock = link
            headers = {
                "Content-Type": "application/json",
                "User-Agent": "clawdbot",
                SIGNATURE: sign(secret, body, int(time.time())),
            }
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            answer.read(MOST_READ)
            connection.close()
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        if isinstance(error, DeliveryFailed):
            raise
        raise DeliveryFailed(f"the webhook cannot be reached: {type(error).__name__}") from error
    if not 200 <= answer.status < 300:
        raise DeliveryFailed(f"the webhook answered {answer.status}")


def _parsed(url: str) -> tuple[bool, str, int, str]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AddressRefused("not an address") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise AddressRefused("not an address of a web service")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not path.isascii() or any(letter <= " " for letter in path):
        raise AddressRefused("not an address")
    secure = parts.scheme == "https"
    return secure, parts.hostname, port or (443 if secure else 80), path


def _address(host: str, port: int, *, private: bool) -> tuple[str, int]:
    """Raises AddressRefused, OSError, UnicodeError."""
    found = [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    if not found:
        raise DeliveryFailed("the webhook's name is unknown")
    if not private and not all(is_public(ipaddress.ip_address(each.partition("%")[0])) for each in found):
        raise AddressRefused("an address of a private network")
    return found[0], port


def is_public(address: Ip) -> bool:
    """Also of what is written into an IPv6 address."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast
