"""The second wall between tenants: whose request a piece of work is done for, said to PostgreSQL with every statement.

`within(tenant_id)` marks what is done for one tenant: the database connections of `tenants.backends.postgresql` then
work as the request role, for which the tables' policies (`clawdbot_site.row_security`) hold nothing of anybody else.
Outside of it, or inside of `lifted()`, they work as whoever the settings connect as: the platform itself. On SQLite,
which has no roles, it changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

ROLE: Final = "clawdbot_request"
SETTING: Final = "clawdbot.tenant"
# In a query over pg_roles. Since PostgreSQL 16 a member may be one without the right to act as the role.
MAY_BECOME: Final = (
    "pg_has_role(session_user, oid, CASE WHEN current_setting('server_version_num')::int >= 160000"
    " THEN 'SET' ELSE 'MEMBER' END)"
)

_tenant: ContextVar[int | None] = ContextVar("walled_tenant", default=None)


def current() -> int | None:
    """None: no wall, it is the platform's own work."""
    return _tenant.get()


def become(tenant_id: int | None) -> None:
    """From now on in this context."""
    _tenant.set(tenant_id)


@contextmanager
def within(tenant_id: int | None) -> Iterator[None]:
    """For as long as this lasts."""
    token = _tenant.set(tenant_id)
    try:
        yield
    finally:
        _tenant.reset(token)


@contextmanager
def lifted() -> Iterator[None]:
    """The platform's own work in the middle of a tenant's request; say why where it is used."""
    with within(None):
        yield
