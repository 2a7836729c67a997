import asyncio
import math
import sqlite3
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import msgspec
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.databases import cells
from plugins.databases.catalogue import Column, Table
from plugins.databases.checking import Checked, check
from plugins.databases.connecting import engine_of
from plugins.databases.desk import Desk
from plugins.databases.failures import QueryFailed, Refused
from plugins.databases.reading import look
from plugins.databases.running import run
from tests.plugins.databases import questions
from tests.plugins.databases.sources import TABLES, source

QUESTIONS = {
    dialect: [(sql, rows) for where, sql, rows in questions.cases() if where == dialect]
    for dialect in ("sqlite", "postgresql")
}


class Asked:
    """One data source, asked without a plugin."""

    def __init__(self, where):
        self.source = where
        self.engine = engine_of(where)

    def __call__(self, sql):
        return run(self.engine, self.source, check(sql, self.source))

    def unchecked(self, sql, tables=TABLES):
        """As if a check had overlooked it."""
        return run(self.engine, self.source, Checked(sql, 51, tables))


@pytest.fixture
def lite(sqlite_source):
    asked = Asked(sqlite_source)
    yield asked
    asked.engine.dispose()


@pytest.fixture
def post(postgres_source):
    asked = Asked(postgres_source)
    yield asked
    asked.engine.dispose()


def test_it_answers_questions_from_sqlite(lite):
    for sql, rows in QUESTIONS["sqlite"]:
        found = lite(sql)
        assert rows is None or len(found.rows) == rows, sql


def test_it_answers_questions_from_postgresql(post):
    """The role may read the allowed columns only: PostgreSQL itself would refuse anything else."""
    for sql, rows in QUESTIONS["postgresql"]:
        found = post(sql)
        assert rows is None or len(found.rows) == rows, sql


def test_it_says_when_there_are_more_rows(lite):
    few = Asked(source("sqlite", lite.source.url, row_limit=2))
    found = few("SELECT id FROM orders ORDER BY id")
    assert (found.rows, found.truncated) == ([[1], [2]], True)
    assert not lite("SELECT id FROM orders").truncated
    few.engine.dispose()


# The second wall ----------------------------------------------------------------------------------------------------

WRITES = [
    "DELETE FROM customers",
    "UPDATE customers SET name = 'x'",
    "DROP TABLE customers",
    "CREATE TABLE mine (id INTEGER)",
    "INSERT INTO customers VALUES (9, 'x', 'x', 'x')",
]


@pytest.mark.parametrize(
    "sql",
    [
        *WRITES,
        "SELECT password FROM customers",
        "SELECT * FROM salaries",
        "SELECT * FROM sqlite_master",
        "ATTACH DATABASE '/tmp/x' AS x",
        "PRAGMA table_info(customers)",
        "PRAGMA query_only = OFF",
        "SELECT load_extension('x')",
        "SELECT randomblob(100)",
        "SELECT zeroblob(1000000000)",
        "SELECT printf('%1000s', 'x')",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r",
        "SELECT * FROM pragma_table_info('customers')",
        "WITH customers AS (SELECT 1) SELECT amount FROM salaries",
    ],
)
def test_it_is_walled_by_sqlite_itself(lite, sql):
    with pytest.raises(QueryFailed) as failed:
        lite.unchecked(sql)
    assert failed.value.code == "database_error"
    assert len(lite("SELECT id FROM customers").rows) == 3


def test_it_reads_a_view_that_is_allowed_and_nothing_it_is_made_of(lite, folder):
    with sqlite3.connect(folder / "shop.sqlite3") as owner:
        owner.execute("CREATE VIEW pay AS SELECT name, amount FROM salaries")
    owner.close()
    pay = Table(name="pay", columns=(Column(name="name"),))
    where = msgspec.structs.replace(lite.source, tables=(*TABLES, pay))
    asked = Asked(where)
    assert asked("SELECT * FROM pay").columns == ["name"]
    for sql in ("SELECT amount FROM pay", "SELECT amount FROM salaries"):
        with pytest.raises(Refused):
            asked(sql)
    with pytest.raises(QueryFailed):
        asked.unchecked("SELECT amount FROM salaries", where.tables)
    asked.engine.dispose()


@pytest.mark.parametrize(
    "sql",
    [*WRITES, "SELECT 1; SELECT 2", "SELECT 1; COMMIT; DELETE FROM customers", "SELECT password FROM customers",
     "SELECT nextval('s')", "SELECT lo_create(0)", "SELECT set_config('transaction_read_only', 'off', false)"],
)  # fmt: skip
def test_it_is_walled_by_postgresql_itself(shop_server, sql):
    """Even where the role is the owner: one statement, in a transaction that does not write."""
    owner = Asked(source("postgresql", shop_server.url.replace("clawdbot@", "clawdbot:x@")))
    with psycopg.connect(shop_server.url, autocommit=True) as connection:
        connection.execute("CREATE SEQUENCE IF NOT EXISTS s")
        if "password" in sql:
            owner = Asked(source("postgresql", shop_server.url.replace("clawdbot@", "reader:secret@")))
        with pytest.raises(QueryFailed) as failed:
            owner.unchecked(sql)
        assert failed.value.code == "database_error"
        assert connection.execute("SELECT count(*) FROM customers").fetchone() == (3,)
    owner.engine.dispose()


def test_it_stops_a_query_that_takes_too_long(lite, postgres_source):
    many = ", ".join(f"customers c{number}" for number in range(30))
    began = time.monotonic()
    for asked in (
        Asked(source("sqlite", lite.source.url, time_limit=0.3)),
        Asked(msgspec.structs.replace(postgres_source, time_limit=0.3, cost_limit=0.0)),
    ):
        with pytest.raises(QueryFailed) as failed:
            asked(f"SELECT COUNT(*) FROM {many}")
        assert failed.value.code == "too_slow"
        assert asked("SELECT 1 AS one").rows == [[1]]
        asked.engine.dispose()
    assert time.monotonic() - began < 60


def test_it_stops_sqlite_between_rows_that_are_long_work_each(lite):
    """SQLite looks at no clock while it looks for one text in another, for which it takes both lengths multiplied."""
    grown = "note"
    for more in ("a" * 100, "a" * 100, "a" * 20):
        grown = f"replace({grown}, 'a', '{more}')"
    asked = Asked(source("sqlite", lite.source.url, time_limit=0.3))
    rows = "FROM (SELECT 'a' AS note FROM " + ", ".join(f"orders o{number}" for number in range(12)) + ") x"
    began = time.process_time()
    for sql in (
        f"SELECT sum(instr({grown}, substr({grown}, 1, 80000) || 'b')) AS n {rows}",
        f"SELECT count(*) AS n {rows} WHERE {grown} LIKE '%' || substr({grown}, 1, 50000) || 'b'",
    ):
        with pytest.raises(QueryFailed):
            asked(sql)
    assert time.process_time() - began < 20
    asked.engine.dispose()


def test_it_asks_the_planner_what_a_query_costs(post):
    with pytest.raises(Refused) as refused:
        post("SELECT COUNT(*) FROM " + ", ".join(f"orders o{number}" for number in range(12)))
    assert refused.value.code == "cost"


def test_it_cuts_a_server_that_sends_too_much(shop_server, monkeypatch):
    monkeypatch.setattr("plugins.databases.cutting.MOST_RECEIVED", 100_000)
    asked = Asked(source("postgresql", shop_server.url.replace("clawdbot@", "clawdbot:x@"), time_limit=20.0))
    with pytest.raises(QueryFailed) as failed:
        asked.unchecked("SELECT repeat('x', 300000000)")
    assert failed.value.code == "database_unreachable"
    assert asked("SELECT 1 AS one").rows == [[1]]
    asked.engine.dispose()


def test_it_goes_on_after_a_mistake_and_after_a_lost_connection(post, shop_server):
    with pytest.raises(QueryFailed) as failed:
        post("SELECT 1 / 0 AS x")
    assert (failed.value.code, str(failed.value)) == ("database_error", "division by zero")
    with psycopg.connect(shop_server.url, autocommit=True) as owner:
        owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'reader'")
    answers = []
    for _ in range(3):
        try:
            answers.append(post("SELECT 1 AS one").rows)
        except QueryFailed as error:
            answers.append(error.code)
    assert answers[-1] == [[1]]
    assert set(map(str, answers)) <= {"[[1]]", "database_unreachable"}


def test_it_says_that_a_database_is_away():
    away = Asked(source("postgresql", "postgresql://reader:secret@127.0.0.1:1/postgres"))
    with pytest.raises(QueryFailed) as failed:
        away("SELECT 1 AS one")
    assert failed.value.code == "database_unreachable"
    assert "secret" not in str(failed.value)


def test_it_connects_to_no_private_network_unless_it_may(postgres_source):
    asked = Asked(msgspec.structs.replace(postgres_source, private=False))
    with pytest.raises(QueryFailed, match="private network"):
        asked("SELECT 1 AS one")


# A look at it ------------------------------------------------------------------------------------------------------


def test_it_looks_at_what_there_is(sqlite_source, postgres_source, shop_server):
    for where in (sqlite_source, postgres_source):
        seen = look(where)
        columns = {table.name: [column.name for column in table.columns] for table in seen.tables}
        assert columns["customers"] == ["id", "name", "city", "password"]
        assert set(columns) == {"customers", "orders", "Items", "salaries"}
        assert not seen.may_write
    owner = source("postgresql", shop_server.url.replace("clawdbot@", "clawdbot:x@"))
    assert look(owner).may_write
    with pytest.raises(QueryFailed):
        look(source("mysql", "mysql://a:b@127.0.0.1:1/shop"))


# Many at once ------------------------------------------------------------------------------------------------------


async def test_it_takes_only_so_many_questions_at_a_time(lite):
    desk = Desk()
    slow = "SELECT COUNT(*) FROM " + ", ".join(f"customers c{number}" for number in range(30))
    asked = [desk.query(source("sqlite", lite.source.url, time_limit=0.3), slow) for _ in range(12)]
    done = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(each) for each in done] == [QueryFailed] * 12
    assert sum("busy with other" in str(each) for each in done) >= 4
    assert (await desk.query(lite.source, "SELECT 1 AS one"))[1].rows == [[1]]
    desk.close()


# As JSON ------------------------------------------------------------------------------------------------------------


def test_it_makes_json_of_every_type(post):
    row = post.unchecked(
        "SELECT 1::bigint, 9007199254740993, 1.10::numeric, 'NaN'::numeric, 'NaN'::float8, 'Infinity'::float8, true,"
        " NULL, 'x', DATE '2026-01-02', TIMESTAMPTZ '2026-01-02 03:04:05+00' AT TIME ZONE 'UTC', INTERVAL '1 day',"
        " '\\x00ff'::bytea, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, ARRAY[1, 2], '{\"a\": [1]}'::jsonb,"
        " int4range(1, 5), '10.0.0.1'::inet, TIME '03:04'"
    ).rows[0]
    assert row[:10] == [1, "9007199254740993", 1.1, None, None, None, True, None, "x", "2026-01-02"]
    assert row[10:16] == ["2026-01-02T03:04:05", "1 day, 0:00:00", "00ff", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
                          [1, 2], {"a": [1]}]  # fmt: skip
    assert row[17:] == ["10.0.0.1", "03:04:00"]
    assert msgspec.json.decode(msgspec.json.encode(row)) == row


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.decimals() | st.text() | st.binary() | st.dates()
    | st.datetimes() | st.times() | st.timedeltas() | st.uuids() | st.complex_numbers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3) | st.tuples(inner),
    max_leaves=10,
)  # fmt: skip


@given(value=VALUES)
def test_it_makes_json_of_anything(value):
    told = cells.plain(value)
    assert msgspec.json.decode(msgspec.json.encode(told)) == told


def test_it_keeps_values_short():
    assert cells.plain("x" * 5_000) == "x" * 1_000 + "…"
    assert cells.plain("a\0\ud800") == "a\ufffd?"
    assert cells.plain(Decimal("12345678901234567890.1")) == "12345678901234567890.1"
    assert (cells.plain(Decimal(7)), cells.plain(math.nan), cells.plain(UUID(int=1))) == (7, None, str(UUID(int=1)))
    assert cells.plain(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02T00:00:00+00:00"
    assert (cells.plain(timedelta(1)), cells.plain(date(2026, 1, 2))) == ("1 day, 0:00:00", "2026-01-02")
    names, rows, more = cells.table(["a"], [["y" * 900]] * 100, 100)
    assert (names, more) == (["a"], True)
    assert len(msgspec.json.encode(rows)) <= cells.MOST_BYTES + 100
