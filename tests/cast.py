"""The people of every test. Alice and Bob share the tenant `acme`; Charlie has `globex` and must see nothing of theirs.

`ALICE.principal` and the like need no database; the fixture `cast` puts the same people there, with the same ids."""

from __future__ import annotations

from dataclasses import dataclass

from engine.types import Principal
from tenants import keys
from tenants.directory import TenantTable, TenantView

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Company:
    id: int
    slug: str
    name: str
    store_database: int

    def view(self, **settings: object) -> TenantView:
        """The tenant as the request path sees it; unlimited unless `settings` say more."""
        return TenantView(
            id=self.id, slug=self.slug, name=self.name, **{"store_database": self.store_database, **settings}
        )


@dataclass(frozen=True)
class Person:
    """`id` is the user's, the member's and the key's row; `key` the whole API key, which the database never holds."""

    id: int
    username: str
    company: Company
    role: str
    key: str
    password: str = PASSWORD

    @property
    def digest(self) -> str:
        return keys.digest(self.key)

    @property
    def principal(self) -> Principal:
        """As the person who signed in."""
        return Principal(
            tenant_id=self.company.id,
            tenant=self.company.slug,
            kind="member",
            subject=f"member:{self.id}",
            user=str(self.id),
            role=self.role,
            scopes=frozenset({"chat", "sessions"}),
            member_id=self.id,
        )

    @property
    def key_principal(self) -> Principal:
        """As the holder of the API key who names no user."""
        return Principal(
            tenant_id=self.company.id,
            tenant=self.company.slug,
            kind="key",
            subject=f"key:{self.id}",
            user=f"key:{self.id}",
            role="developer",
            scopes=frozenset({"chat", "sessions"}),
            key_id=self.id,
        )


ACME = Company(id=1, slug="acme", name="Acme", store_database=16)
GLOBEX = Company(id=2, slug="globex", name="Globex", store_database=17)

ALICE = Person(id=1, username="alice", company=ACME, role="owner", key=keys.from_digits("a" * 43))
BOB = Person(id=2, username="bob", company=ACME, role="member", key=keys.from_digits("b" * 43))
CHARLIE = Person(id=3, username="charlie", company=GLOBEX, role="owner", key=keys.from_digits("c" * 43))
EVERYBODY = (ALICE, BOB, CHARLIE)


def tenant_table(*views: TenantView) -> TenantTable:
    """Acme and Globex, or the given ones in their place."""
    by_id = {view.id: view for view in (ACME.view(), GLOBEX.view(), *views)}
    return TenantTable(by_id, {view.slug: view for view in by_id.values()})
