"""What browsers are told about our pages beside their content: what they may load and run, who may frame them.

A middleware in front of Django's others. It also finds out, from a trusted proxy, whether the browser's own connection
is encrypted, and sends pages that are not to the address that is."""

from __future__ import annotations

from asyncio import iscoroutinefunction
from collections.abc import Callable
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.utils.decorators import sync_and_async_middleware

from access.asgi import RawHeaders
from tenants.proxies import TrustedProxies, UntrustedChain

NOTHING: Final = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
STRICT: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'"
)
# Alpine, which django-unfold's pages are made with, compiles expressions of their markup ('unsafe-eval') and sets
# styles. An inline script, which injected markup would need first, does not run.
CONSOLE: Final = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; frame-src 'self'; manifest-src 'self'; frame-ancestors 'none'; "
    "base-uri 'none'; object-src 'none'; form-action 'self'"
)
DOCS: Final = STRICT.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'") + "; form-action 'none'"
FEATURES: Final = (
    "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), "
    "midi=(), payment=(), serial=(), usb=(), publickey-credentials-get=(self), publickey-credentials-create=(self)"
)
POLICY: Final = "Content-Security-Policy"
SNIFFING: Final = b"x-content-type-options"
# Of what is no page: nothing in it runs, wherever a browser may be brought to show it.
BARE: Final = [
    (SNIFFING, b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
]


@sync_and_async_middleware
def secure_pages(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    if iscoroutinefunction(get_response):

        async def middleware(request: HttpRequest) -> HttpResponse:
            return _elsewhere(request) or _marked(request, await get_response(request))

        return middleware

    def plain(request: HttpRequest) -> HttpResponse:
        return _elsewhere(request) or _marked(request, get_response(request))

    return plain


def policy(path: str) -> str:
    """Of a page that has none of its own."""
    if path.startswith(("/console/", "/admin/")):
        return CONSOLE
    if path.startswith("/accounts/"):
        return f"{STRICT}; form-action 'self'{_providers(settings.OIDC_ISSUER)}"
    return DOCS if path.rstrip("/") == "/api/docs" else NOTHING


@cache
def _providers(issuer: str) -> str:
    """Signing in with a provider begins with a form that leads there; where exactly, the provider says."""
    parts = urlsplit(issuer)
    return f" https: {parts.scheme}://{parts.netloc}" if issuer else ""


def bare(headers: RawHeaders) -> RawHeaders:
    """The headers of an answer of an edge of ours, of `/metrics` and health."""
    return headers + BARE


def secured(headers: RawHeaders) -> RawHeaders:
    """The same where Django may have answered: its pages have theirs already."""
    for name, _ in headers:
        if len(name) == len(SNIFFING) and name.lower() == SNIFFING:  # every answer comes by: lengths are compared first
            return headers
    return [*headers, *BARE]


def _marked(request: HttpRequest, answer: HttpResponse) -> HttpResponse:
    answer.headers.setdefault(POLICY, policy(request.path))
    answer.headers.setdefault("Permissions-Policy", FEATURES)
    return answer


def _elsewhere(request: HttpRequest) -> HttpResponse | None:
    """Where a page is to be asked for instead. Only a trusted proxy's word counts: whoever comes to us directly is
    let alone, as probes and other servers are."""
    scheme = _forwarded_scheme(request)
    scope: Any = getattr(request, "scope", None)
    if scope is not None and scheme is not None:
        scope["scheme"] = scheme  # what Django's request.is_secure() reads
    if scheme == "http" and settings.HTTPS and request.method in ("GET", "HEAD"):
        return HttpResponsePermanentRedirect(settings.PUBLIC_URL + request.get_full_path())
    return None


def _forwarded_scheme(request: HttpRequest) -> str | None:
    if not settings.TRUSTED_PROXIES:
        return None
    given = [(name, request.headers.get(name)) for name in ("x-forwarded-proto", "forwarded")]
    headers = [(name.encode(), value.encode("latin-1", "replace")) for name, value in given if value is not None]
    try:
        return TrustedProxies(settings.TRUSTED_PROXIES).scheme(request.META.get("REMOTE_ADDR") or None, headers)
    except UntrustedChain:
        return None
