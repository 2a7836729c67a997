"""What a tenant may write about the tables of its database."""

from __future__ import annotations

from typing import Any

import msgspec

from plugins.databases.catalogue import Table, Tables


def clean_tables(tables: object) -> list[Any]:
    """As they are kept. Raises ValueError, which says where."""
    found = read_tables(tables)
    seen: set[tuple[str, str]] = set()
    for table in found:
        key = (table.schema.lower(), table.name.lower())
        if key in seen:
            raise ValueError(f"The table {table.name} is there twice.")
        seen.add(key)
        names = [column.name.lower() for column in table.columns]
        if len(set(names)) < len(names):
            raise ValueError(f"Two columns of {table.name} differ in capitals only.")
    return plain_tables(found)


def plain_tables(tables: tuple[Table, ...]) -> list[Any]:
    """As JSON has them, with lists and no tuples, so that they compare with what is stored."""
    plain: list[Any] = msgspec.json.decode(msgspec.json.encode(tables))
    return plain


def read_tables(tables: object) -> tuple[Table, ...]:
    """Raises ValueError."""
    try:
        return msgspec.convert(tables, Tables)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ValueError(f"tables: {error}") from None
