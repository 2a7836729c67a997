"""Where a person is, for locks and for the journal: as the server hears it, header by header."""

from __future__ import annotations

import pytest
from django.core.handlers.asgi import ASGIRequest

from access.people.addresses import UNKNOWN, address_of, counted_as

PROXY, PEER, SAID = "10.0.0.1", "203.0.113.7", "198.51.100.9"
HEADERS = {
    "X-Forwarded-For": f"{SAID}",
    "Forwarded": f"for={SAID}",
    "X-Real-IP": SAID,
    "X_Forwarded_For": SAID,
    "X-Forwarded_For": SAID,
    "X-Client-IP": SAID,
    "Remote-Addr": SAID,
    "REMOTE_ADDR": SAID,
}


def asked(peer: str | None, *headers: tuple[str, str]) -> ASGIRequest:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    scope = {"type": "http", "method": "POST", "path": "/accounts/login/", "query_string": b"", "headers": raw}
    return ASGIRequest({**scope, "client": (peer, 1) if peer is not None else None}, None)


@pytest.mark.parametrize("name", HEADERS)
def test_nobody_is_believed_by_default(settings, name: str) -> None:
    assert settings.TRUSTED_PROXIES == []
    request = asked(PEER, (name, HEADERS[name]))
    assert (address_of(request), counted_as(request)) == (PEER, PEER)


@pytest.mark.parametrize("name", HEADERS)
def test_a_trusted_proxy_is_believed_in_two_headers_only(settings, name: str) -> None:
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
    believed = name in ("X-Forwarded-For", "Forwarded")
    assert address_of(asked(PROXY, (name, HEADERS[name]))) == (SAID if believed else PROXY)
    assert address_of(asked(PEER, (name, HEADERS[name]))) == PEER


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ([("X-Forwarded-For", f"1.1.1.1, {SAID}, 10.0.0.9")], SAID),
        ([("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", SAID)], SAID),
        ([("X-Forwarded-For", SAID), ("X_Forwarded_For", "1.1.1.1")], SAID),
        ([("X-Forwarded-For", "[2001:db8::7]:443")], "2001:db8::7"),
        ([("X-Forwarded-For", "2001:db8::7%eth0")], UNKNOWN),
        ([("X-Forwarded-For", "unknown")], UNKNOWN),
        ([("X-Forwarded-For", SAID), ("Forwarded", "for=1.1.1.1")], UNKNOWN),
    ],
)
def test_the_chain_is_read_from_the_right(settings, headers: list[tuple[str, str]], address: str) -> None:
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
    assert address_of(asked(PROXY, *headers)) == address


def test_whoever_has_one_address_of_ipv6_counts_as_their_network(settings) -> None:
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
    one, other = (counted_as(asked(PROXY, ("X-Forwarded-For", f"2001:db8:1:2::{n}"))) for n in (1, 2))
    assert one == other


def test_nobody_knows_who_is_behind_a_unix_socket(settings) -> None:
    assert address_of(asked(None, ("X-Forwarded-For", SAID))) == UNKNOWN
    settings.TRUSTED_PROXIES = ["unix"]
    assert address_of(asked(None, ("X-Forwarded-For", SAID))) == SAID
