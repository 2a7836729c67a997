"""What each role may do in its tenant: the one table consoles, management API and docs/roles.md go by.

An area is a part of the console and of the API. `read` is looking, `change` is everything else there; whoever may
change may read. What people do with models (chat, their own sessions) is a scope of a credential, not an area."""

from __future__ import annotations

from collections.abc import Collection
from types import MappingProxyType
from typing import Final, Literal

from tenants.validation import DEFAULT_SCOPES, SCOPES

Access = Literal["read", "change"]

AREAS: Final = (
    "overview",    # requests, tokens, money, errors of the tenant
    "keys",        # API keys
    "members",     # members, invitations, their sign-ins
    "models",      # its own model instances and their keys at providers
    "rules",       # routing rules, explain, replay
    "words",       # word lists, subscriptions, exceptions, personal data
    "plugins",
    "sessions",    # everybody's conversations, live turns
    "journal",     # the audit journal, its searches, erasures
    "limits",      # limits and budgets of members, keys and models
    "addresses",   # where callers may come from
    "chat_site",   # web chat and widget
    "playground",
    "exports",     # files of what the other areas show
    "settings",    # the tenant's name, time zone, language, isolation self-test
    "tenant",      # off-boarding and who owns it
)  # fmt: skip

_ALL: Final = dict.fromkeys(AREAS, "change")
_TABLE: Final[dict[str, dict[str, str]]] = {
    "owner": _ALL,
    "admin": {**_ALL, "tenant": "read"},
    "developer": {
        "overview": "read", "keys": "change", "models": "change", "rules": "change", "words": "read",
        "plugins": "change", "limits": "read", "chat_site": "change", "playground": "change", "settings": "read",
    },
    "auditor": {
        "overview": "read", "keys": "read", "members": "read", "models": "read", "rules": "read", "words": "read",
        "plugins": "read", "sessions": "read", "journal": "read", "limits": "read", "addresses": "read",
        "chat_site": "read", "exports": "change", "settings": "read",
    },
    "member": {},
}  # fmt: skip
ROLES: Final = MappingProxyType(_TABLE)


def may(role: str, area: str, access: Access = "read") -> bool:
    """A role nobody knows may nothing. KeyError: no such area."""
    if area not in _ALL:
        raise KeyError(area)
    found = ROLES.get(role, {}).get(area)
    return found == "change" or (found == "read" and access == "read")


def role_of_key(scopes: Collection[str]) -> str:
    """An API key acts in the management API as somebody of this role; what it does with models its scopes say."""
    if "manage" in scopes:
        return "admin"
    return "auditor" if "audit" in scopes else "member"


def may_grant(role: str, granted: str) -> bool:
    """Nobody makes anybody more than they are: only owners make owners, only they and admins anybody else."""
    return role == "owner" or (role == "admin" and granted in ROLES and granted != "owner")


_SCOPES: Final = MappingProxyType({"owner": frozenset(SCOPES), "admin": frozenset(SCOPES), "developer": DEFAULT_SCOPES})


def may_give(role: str, scopes: Collection[str]) -> bool:
    """Whether somebody of this role may make, replace or change an API key with these scopes (none: chat and sessions):
    no key may do what its maker may not."""
    wanted = frozenset(scopes) or DEFAULT_SCOPES
    return may(role, "keys", "change") and wanted <= _SCOPES.get(role, frozenset())
