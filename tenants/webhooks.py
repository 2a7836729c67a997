"""Signed messages to an address that a tenant named. Blocking: for background work.

What a tenant writes there must not reach our own network: where calls may go says `engine.addresses`. Redirects are not
followed. The signature is over time and body, as Stripe's webhooks have it
(https://docs.stripe.com/webhooks#verify-manually)."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.client
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.crypto import salted_hmac

from engine import addresses
from engine.addresses import AddressRefused as AddressRefused

SIGNATURE: Final = "X-Clawdbot-Signature"
PREFIX: Final = "whsec_"
TIMEOUT: Final = 10.0
MOST_READ: Final = 65_536


class DeliveryFailed(OSError):
    """Nobody took it; it may be tried again."""


def secret_of(tenant_id: int) -> str:
    """What the tenant's messages are signed with; only the tenant and we know it."""
    return salted_hmac("tenants.webhooks", str(tenant_id), algorithm="sha256").hexdigest()


def sign(secret: str, body: bytes, at: int) -> str:
    """`t=<Unix seconds>,v1=<hex of HMAC-SHA256 over "t.body">`."""
    digest = hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def new_secret() -> str:
    """As Standard Webhooks writes one: `whsec_` and the base64 of 24 bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(24)).decode()


def headers_of(event_id: str, body: bytes, at: int, keys: Sequence[str]) -> dict[str, str]:
    """The signatures of a message under each of these secrets, the newest first: in our own header, and as Standard
    Webhooks has it (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md)."""
    ours = [sign(secret, body, at).partition(",")[2] for secret in keys]
    signed = f"{event_id}.{at}.".encode() + body
    standard = [base64.b64encode(hmac.digest(_raw(secret), signed, "sha256")).decode() for secret in keys]
    return {
        SIGNATURE: ",".join([f"t={at}", *ours]),
        "webhook-id": event_id,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(f"v1,{each}" for each in standard),
    }


def _raw(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(PREFIX)) if secret.startswith(PREFIX) else secret.encode()


def post(url: str, body: bytes, *, secret: str, private: bool | None = None) -> None:
    """Raises AddressRefused, DeliveryFailed. `private`: addresses of private networks are allowed; None: as the setting
    WEBHOOK_PRIVATE says."""
    headers = {"Content-Type": "application/json", SIGNATURE: sign(secret, body, int(time.time()))}
    status = call(url, body, headers, private=private)
    if not 200 <= status < 300:
        raise DeliveryFailed(f"the webhook answered {status}")


def call(url: str, body: bytes, headers: Mapping[str, str], *, private: bool | None = None) -> int:
    """Posts; what was answered, an HTTP status. It is over after TIMEOUT twice, however slowly the other side speaks.
    Raises AddressRefused, DeliveryFailed: there was no answer."""
    secure, host, port, path = _parsed(url)
    try:
        allowed = settings.WEBHOOK_PRIVATE if private is None else private
        link = addresses.connect_blocking(host, port, private=allowed, timeout=TIMEOUT)
        if secure:
            context = ssl.create_default_context()
            link = context.wrap_socket(link, server_hostname=host, do_handshake_on_connect=False)
        with link, _watched(link):
            if isinstance(link, ssl.SSLSocket):
                link.do_handshake()
            connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
            connection.sock = link
            connection.request("POST", path, body, {"User-Agent": "clawdbot", **headers})
            answer = connection.getresponse()
            answer.read(MOST_READ)
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise DeliveryFailed(f"the webhook cannot be reached: {type(error).__name__}") from error
    return int(answer.status)


def check_address(url: str) -> None:
    """Whether it can be one at all; nothing is looked up. Raises AddressRefused."""
    _, host, _, _ = _parsed(url)
    addresses.check_host(host, private=settings.WEBHOOK_PRIVATE)


@contextlib.contextmanager
def _watched(link: socket.socket) -> Iterator[None]:
    """Waits for single bytes have a limit each; this one is for all of them."""
    watch = threading.Timer(TIMEOUT, _shut, (link,))
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()


def _shut(link: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it is closed already
        socket.socket.shutdown(link, socket.SHUT_RDWR)


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
