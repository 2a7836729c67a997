"""Where a person's browser is, as far as trusted proxies say."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest

from tenants.networks import Address, place
from tenants.proxies import TrustedProxies, UntrustedChain

UNKNOWN = "::"  # the other end of a unix socket, and whoever a proxy does not name


def address_of(request: HttpRequest) -> str:
    """Of a request of Django's."""
    found = _caller(request)
    return UNKNOWN if found is None else str(found)


def counted_as(request: HttpRequest) -> str:
    """The same as attempts count it: who has one IPv6 address has its whole /64."""
    found = _caller(request)
    return UNKNOWN if found is None else place(found)


def _caller(request: HttpRequest) -> Address | None:
    given = [(name, request.headers.get(name)) for name in ("x-forwarded-for", "forwarded")]
    headers = [(name.encode(), value.encode("latin-1", "replace")) for name, value in given if value is not None]
    try:
        return TrustedProxies(settings.TRUSTED_PROXIES).caller(request.META.get("REMOTE_ADDR") or None, headers)
    except UntrustedChain:
        return None
