"""Acme's shop, as it may be read: three tables, of which some columns are hidden, and tables nobody may read."""

from __future__ import annotations

from plugins.databases.catalogue import Column, Source, Table

SCHEMA = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name VARCHAR(80), city VARCHAR(80), password VARCHAR(80));
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER, total DECIMAL(10, 2), placed DATE, note VARCHAR(200));
CREATE TABLE "Items" (id INTEGER PRIMARY KEY, "OrderId" INTEGER, title VARCHAR(80), cost DECIMAL(10, 2));
CREATE TABLE salaries (id INTEGER PRIMARY KEY, customer_id INTEGER, name VARCHAR(80), amount DECIMAL(10, 2));
INSERT INTO customers VALUES (1, 'Ann', 'Paris', 'hidden-1'), (2, 'Ben', 'Rome', 'hidden-2'),
  (3, '李雷', '北京', 'hidden-3');
INSERT INTO orders VALUES (1, 1, 9.50, '2026-01-05', 'gift'), (2, 1, 20.25, '2026-02-07', NULL),
  (3, 2, 100.00, '2026-02-11', '100% off'), (4, 3, 5.00, '2026-03-01', 'it''s "ok"');
INSERT INTO "Items" VALUES (1, 1, 'pen', 1.10), (2, 2, 'book', 7.00), (3, 3, 'lamp', 40.00);
INSERT INTO salaries VALUES (1, 1, 'hidden-salary', 90000.00);
"""

TABLES = (
    Table(
        name="customers",
        description="Who buys",
        columns=(Column(name="id", type="integer"), Column(name="name"), Column(name="city", description="home town")),
    ),
    Table(
        name="orders",
        columns=tuple(Column(name=name) for name in ("id", "customer_id", "total", "placed", "note")),
    ),
    Table(name="Items", columns=tuple(Column(name=name) for name in ("id", "OrderId", "title"))),
)
HIDDEN = ("password", "salaries", "amount", "cost")


def source(dialect: str = "sqlite", url: str = "", **fields: object) -> Source:
    values: dict[str, object] = {"row_limit": 50, "time_limit": 2.0, "private": True, **fields}
    return Source(id=1, tenant_id=1, tenant="acme", name="shop", dialect=dialect, url=url, tables=TABLES, **values)
