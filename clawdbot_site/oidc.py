"""Turns the settings of an OpenID Connect provider into what django-allauth wants to read."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from engine.addresses import AddressRefused, check_host

PROVIDER = "oidc"


def provider(issuer: str, client: str, secret: str, name: str, *, private: bool = False) -> dict[str, Any]:
    """Empty where there is no issuer. `private`: it may lie in a private network. Raises ImproperlyConfigured."""
    if not issuer:
        return {}
    if urlsplit(issuer).scheme not in ("https", "http") or not urlsplit(issuer).netloc:
        raise ImproperlyConfigured(f"OIDC_ISSUER: {issuer!r} is not an address")
    try:
        check_host(urlsplit(issuer).hostname or "", private=private)
    except AddressRefused as error:
        raise ImproperlyConfigured(
            f"OIDC_ISSUER: {issuer!r} is {error}; OIDC_PRIVATE allows private networks"
        ) from None
    if not client:
        raise ImproperlyConfigured("OIDC_CLIENT_ID is needed with OIDC_ISSUER")
    return {
        "openid_connect": {
            "OAUTH_PKCE_ENABLED": True,
            "APPS": [
                {
                    "provider_id": PROVIDER,
                    "name": name,
                    "client_id": client,
                    "secret": secret,
                    "settings": {"server_url": issuer.rstrip("/")},
                }
            ],
        }
    }
