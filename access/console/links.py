"""Addresses within the console a request is in: the platform's and a tenant's have screens of the same names."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

PLATFORM = "admin"


def link(request: HttpRequest, page: str, *args: Any) -> str:
    """`page` is the name without its console, such as `tenants_apikey_changelist`."""
    match = request.resolver_match
    console = match.namespace if match is not None and match.namespace else PLATFORM
    return reverse(f"{console}:{page}", args=args)


def link_or_none(request: HttpRequest, page: str, *args: Any) -> str:
    """Empty where this console has no such page."""
    try:
        return link(request, page, *args)
    except NoReverseMatch:
        return ""
