"""What of a tenant's database may be read, as the request path sees it."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

Dialect = Literal["sqlite", "postgresql", "mysql"]

MOST_TABLES: Final = 100
MOST_COLUMNS: Final = 200

Name = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
Words = Annotated[str, Meta(max_length=500, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*\Z")]
TypeName = Annotated[str, Meta(max_length=60, pattern=r"^[^\x00-\x1f\x7f]*\Z")]


class Column(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A column that may be read. `type` and `description` are for the model."""

    name: Name
    type: TypeName = ""
    description: Words = ""


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A table or view that may be read, and its columns that may. `schema` empty: `public` on PostgreSQL, the address's
    own database on MySQL."""

    name: Name
    schema: Annotated[str, Meta(max_length=128, pattern=r"^[^\x00-\x1f\x7f]*\Z")] = ""
    description: Words = ""
    columns: Annotated[tuple[Column, ...], Meta(min_length=1, max_length=MOST_COLUMNS)]


Tables = Annotated[tuple[Table, ...], Meta(max_length=MOST_TABLES)]


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A database as its tenant registered it. `url` is in clear. `row_limit` rows at most reach the model; seconds are
    the database's own; `cost_limit` is in its planner's units, 0: none."""

    id: int
    tenant_id: int
    tenant: str
    name: str
    dialect: Dialect
    url: str
    tables: tuple[Table, ...]
    description: str = ""
    row_limit: int = 100
    time_limit: float = 5.0
    cost_limit: float = 0.0
    private: bool = False

    def schema_of(self, table: Table) -> str:
        """Where the table lies; empty on MySQL: in the database the connection is to."""
        if table.schema:
            return table.schema
        return {"sqlite": "main", "postgresql": "public"}.get(self.dialect, "")

    def find(self, schema: str, name: str) -> Table | None:
        """By lower-case names, as a query says them; without a schema where only one table has the name, or one of
        them lies where tables without a schema do."""
        named = [table for table in self.tables if table.name.lower() == name]
        if schema:
            named = [table for table in named if self.schema_of(table).lower() == schema]
        elif len(named) > 1:
            named = [table for table in named if not table.schema]
        return named[0] if len(named) == 1 else None


class Look(msgspec.Struct, frozen=True):
    """What a look at a database found: its tables, without descriptions but those it has itself. `more`: not all are
    listed; `may_write`: its role could change data."""

    tables: list[Table]
    more: bool
    may_write: bool


def dialect_of(name: str) -> Dialect:
    """Raises msgspec.ValidationError, a ValueError."""
    dialect: Dialect = msgspec.convert(name, Dialect)
    return dialect
