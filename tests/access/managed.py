"""The gateway of `tests.access.parts` with a database behind it, and managers of both tenants in front."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from access.authentication import ROLE_SCOPES
from access.lean import guard_connections
from tests.access.asgi_client import Client
from tests.access.parts import Site, build
from tests.cast import ALICE, BOB, CHARLIE, Person

T = TypeVar("T")


def manager(person: Person) -> Any:
    return msgspec.structs.replace(person.key_principal, scopes=frozenset({"chat", "sessions", "manage"}))


@dataclass
class Managed:
    """Alice and Charlie manage their tenants, Bob is no manager. `rows(work)` is an operator's hand at the database."""

    site: Site

    @property
    def alice(self) -> Client:
        return self.site.client(ALICE.key)

    @property
    def bob(self) -> Client:
        return self.site.client(BOB.key)

    @property
    def charlie(self) -> Client:
        return self.site.client(CHARLIE.key)

    def signed_in(self, person: Person, role: str) -> Client:
        """The person, as a member of this role."""
        token = f"{person.username} as {role}"
        scopes = ROLE_SCOPES[role]
        self.site.keys.people[token] = msgspec.structs.replace(person.principal, role=role, scopes=scopes)
        return self.site.client(token)

    async def rows(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.site.parts.rows._threads, work)


@asynccontextmanager
async def managed(**options: Any) -> AsyncIterator[Managed]:
    """Views that touch the database on the event loop are refused, as in production. `options` are `build`'s."""
    guard_connections()
    site = build(**options)
    for person in (ALICE, CHARLIE):
        site.keys.people[person.key] = manager(person)
    yield Managed(site)
    await asyncio.to_thread(site.parts.rows.close)
    await asyncio.to_thread(site.parts.trials.close)
    await asyncio.to_thread(site.parts.dry_runs.close)


def refused(answer: Any, status: int, code: str, param: str | None = None) -> dict[str, Any]:
    """The error of an answer, which must be this one."""
    error: dict[str, Any] = answer.json["error"]
    assert (answer.status, error["code"], error.get("param")) == (status, code, param), error
    return error
