"""What people may enter about a tenant. Each function returns the clean value or raises a django ValidationError that
names the field; models call them from `clean()`, so forms, services and commands refuse the same."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterable

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_noop

from tenants import profile_template
from tenants.networks import parse_network
from tenants.origin_names import parse_origin

SCOPES = ("chat", "sessions", "audit", "manage")
DEFAULT_SCOPES = frozenset({"chat", "sessions"})

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
_COLOUR = re.compile(r"#[0-9a-f]{6}\Z")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # control characters, and halves of characters


def clean_slug(slug: object) -> str:
    """Lower-case letters, digits and inner hyphens, at most 63: it is part of host names, object names and labels."""
    if not isinstance(slug, str) or not _SLUG.match(slug):
        raise ValidationError(
            {"slug": gettext_noop("Use 1 to 63 lower-case letters, digits and hyphens (not first or last).")}
        )
    return slug


def clean_name(name: object) -> str:
    """Any script, quotes and emoji are fine; what cannot be seen or stored is not."""
    if not isinstance(name, str) or not name.strip() or _UNSEEN.search(name):
        raise ValidationError({"name": gettext_noop("Give a name without control characters.")})
    return name.strip()


def clean_scopes(scopes: object) -> list[str]:
    """In the order of `SCOPES`, each once."""
    if isinstance(scopes, str) or not isinstance(scopes, Iterable):
        raise ValidationError({"scopes": gettext_noop("A list is needed.")})
    wanted = [str(scope) for scope in scopes]
    if unknown := sorted(set(wanted).difference(SCOPES)):
        raise ValidationError({"scopes": f"Unknown: {', '.join(unknown)}. There are: {', '.join(SCOPES)}."})
    return [scope for scope in SCOPES if scope in wanted]


def clean_time_zone(name: object) -> str:
    """An IANA name this machine knows."""
    if str(name) not in zoneinfo.available_timezones():
        raise ValidationError({"time_zone": gettext_noop("Unknown. A name such as Asia/Shanghai or UTC is needed.")})
    return str(name)


def clean_network(network: object) -> str:
    try:
        return str(parse_network(str(network)))
    except ValueError:
        said = gettext_noop("Not an IPv4 or IPv6 address or network (host bits must be zero, as in 10.0.0.0/8).")
        raise ValidationError({"network": said}) from None


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


MAX_ORIGINS = 50
MAX_MODELS = 50


def clean_line(field: str, text: str) -> str:
    """One line, perhaps empty."""
    if _UNSEEN.search(text):
        raise ValidationError({field: gettext_noop("Leave out control characters.")})
    return text.strip()


def clean_lines(field: str, text: str, most: int) -> str:
    if len(text) > most:
        said = gettext_noop("At most %(most)d characters.")
        raise ValidationError({field: ValidationError(said, params={"most": most})})
    text = text.replace("\r\n", "\n").strip()
    clean_line(field, text.replace("\n", ""))
    return text


def clean_colour(field: str, colour: str) -> str:
    colour = colour.strip().lower()
    if not _COLOUR.match(colour):
        raise ValidationError({field: gettext_noop("Write a colour as #rrggbb, such as #2563eb.")})
    return colour


def clean_origins(origins: object) -> list[str]:
    """As browsers send them, each once, in the order given. See `tenants.origin_names`."""
    found: dict[str, None] = {}
    for text in _texts("origins", origins, MAX_ORIGINS):
        try:
            found[parse_origin(text)] = None
        except ValueError as error:
            raise ValidationError({"origins": str(error)}) from None
    return list(found)


def clean_model_names(names: object) -> list[str]:
    """Public names, each once; `auto` needs no mention."""
    texts = [clean_line("visitor_models", text) for text in _texts("visitor_models", names, MAX_MODELS)]
    return list(dict.fromkeys(text for text in texts if text not in ("", "auto")))


def _texts(field: str, given: object, most: int) -> list[str]:
    if not isinstance(given, list) or not all(isinstance(text, str) and len(text) <= 255 for text in given):
        raise ValidationError({field: gettext_noop("A list of short texts is needed.")})
    if len(given) > most:
        raise ValidationError({field: ValidationError(gettext_noop("At most %(most)d."), params={"most": most})})
    return given
