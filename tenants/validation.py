"""What people may enter about a tenant. Each function returns the clean value or raises a django ValidationError that
names the field; models call them from `clean()`, so forms, services and commands refuse the same."""

from __future__ import annotations

import re
from collections.abc import Iterable

from django.core.exceptions import ValidationError

from tenants import profile_template
from tenants.networks import parse_network

SCOPES = ("chat", "sessions", "audit", "manage")
DEFAULT_SCOPES = frozenset({"chat", "sessions"})

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # control characters, and halves of characters


def clean_slug(slug: object) -> str:
    """Lower-case letters, digits and inner hyphens, at most 63: it is part of host names, object names and labels."""
    if not isinstance(slug, str) or not _SLUG.match(slug):
        raise ValidationError({"slug": "Use 1 to 63 lower-case letters, digits and hyphens (not first or last)."})
    return slug


def clean_name(name: object) -> str:
    """Any script, quotes and emoji are fine; what cannot be seen or stored is not."""
    if not isinstance(name, str) or not name.strip() or _UNSEEN.search(name):
        raise ValidationError({"name": "Give a name without control characters."})
    return name.strip()


def clean_scopes(scopes: object) -> list[str]:
    """In the order of `SCOPES`, each once."""
    if isinstance(scopes, str) or not isinstance(scopes, Iterable):
        raise ValidationError({"scopes": "A list is needed."})
    wanted = [str(scope) for scope in scopes]
    if unknown := sorted(set(wanted).difference(SCOPES)):
        raise ValidationError({"scopes": f"Unknown: {', '.join(unknown)}. There are: {', '.join(SCOPES)}."})
    return [scope for scope in SCOPES if scope in wanted]


def clean_network(network: object) -> str:
    try:
        return str(parse_network(str(network)))
    except ValueError:
        raise ValidationError(
            {"network": "Not an IPv4 or IPv6 address or network (host bits must be zero, as in 10.0.0.0/8)."}
        ) from None


def clean_profile_template(template: str) -> str:
    """See `tenants.profile_template`."""
    template = template.replace("\r\n", "\n").strip()
    try:
        if _UNSEEN.search(template.replace("\n", "")):
            raise ValueError("It has control characters.")
        profile_template.check(template)
    except ValueError as error:
        raise ValidationError({"profile_template": str(error)}) from None
    return template
