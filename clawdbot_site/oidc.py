"""Turns the settings of an OpenID Connect provider into what django-allauth wants to read."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

PROVIDER = "oidc"


def provider(issuer: str, client: str, secret: str, name: str) -> dict[str, Any]:
    """Empty where there is no issuer."""
    if not issuer:
        return {}
    if urlsplit(issuer).scheme not in ("https", "http") or not urlsplit(issuer).netloc:
        raise ImproperlyConfigured(f"OIDC_ISSUER: {issuer!r} is not an address")
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
